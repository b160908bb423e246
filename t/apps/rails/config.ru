# A Rails application, with the concern of examples/rails.

require "action_controller/railtie"
require_relative "../../../examples/rails/hype_user"

class App < Rails::Application
  config.root = ENV.fetch("RAILS_ROOT")
  config.eager_load = false
  config.hosts.clear
  config.logger = Logger.new($stderr)
  config.secret_key_base = "of a test"
  config.session_store :cookie_store, key: "session"
end

User = Struct.new(:id)

class PagesController < ActionController::Base
  include HypeUser

  def home
    render plain: "#{request.fullpath} by #{hype_referrer || 'nobody'}\n"
  end

  def signup
    session[:user] = 42
    hype_confirm :signup
    redirect_to "/"
  end

  def order
    hype_confirm :order, "49.90"
    render plain: "thanks\n"
  end

  private

  def current_user
    User.new(session[:user]) if session[:user]
  end
end

App.initialize!

App.routes.draw do
  root to: "pages#home"
  get "signup", to: "pages#signup"
  get "order", to: "pages#order"
end

run App
