"""Tells nginx who is logged in, and confirms referrals.

In settings.py, after AuthenticationMiddleware, and instead of django-hype's own:

    MIDDLEWARE = [..., "referrals.hype_user"]

The role of the application needs hype_app: GRANT hype_app TO app;
"""

from django.db import connection


def hype_user(get_response):
    """A middleware: sends the header field that hype_user in nginx.conf reads."""

    def middleware(request):
        response = get_response(request)

        if request.user.is_authenticated:
            response["X-Hype-User"] = str(request.user.pk)

        return response

    return middleware


def confirm(event, user, value=None):
    """Confirms the user's referral for the event, once.

    Returns the primary key of the referrer to credit, as a string, or None if
    there is no referrer, or the event was confirmed before.  It is part of the
    caller's transaction (transaction.atomic), and rolled back with it.
    """

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT referrer FROM hype.confirm(%s, user_id => %s, value => %s)",
            [event, str(user.pk), value],
        )
        row = cursor.fetchone()

    return row[0] if row else None
