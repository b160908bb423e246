# app/controllers/concerns/hype_user.rb
#
#     class ApplicationController < ActionController::Base
#       include HypeUser
#
# It needs current_user, as Devise and others define it.

module HypeUser
  extend ActiveSupport::Concern

  included do
    after_action { hype_header "User", current_user.id if current_user }
  end

  private

  # Confirms the referral of the current user, if this request succeeds:
  #
  #     hype_confirm :signup
  #     hype_confirm :order, order.total

  def hype_confirm(event, value = 1)
    hype_header event.to_s.capitalize, value
  end

  # The referrer of this visitor, in the request that followed the link.

  def hype_referrer
    request.headers["X-Hype-Referrer"].presence
  end

  # The visitor's UUID, for SELECT hype.claim(visitor, user_id), if nginx does not
  # claim visitors.

  def hype_visitor
    cookies[:hype_visitor]
  end

  def hype_header(name, value)
    response.set_header("X-Hype-#{name}", value.to_s)
  end
end
