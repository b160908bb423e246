"""A Django project, with the middleware of examples/django/referrals.py.

    app.py migrate            makes the tables
    app.py serve <port>       serves
"""

import os
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
sys.path.insert(0, os.path.join(here, "..", "..", "..", "examples", "django"))
sys.dont_write_bytecode = True

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "hype",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "referrals.hype_user",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    USE_TZ=True,
)

django.setup()


def home(request):
    return HttpResponse(f"home, {request.GET.urlencode()}\n")


def signup(request):
    from django.contrib.auth import login
    from django.contrib.auth.models import User
    from django.db import transaction

    with transaction.atomic():
        user = User.objects.create_user(request.GET["name"])
        login(request, user, "django.contrib.auth.backends.ModelBackend")

    return HttpResponseRedirect("/")


def order(request):
    from django.db import transaction

    import referrals

    with transaction.atomic():
        referrer = referrals.confirm("order", request.user, value="49.90")

    return HttpResponse(f"credited: {referrer}\n")


urlpatterns = [
    path("", home),
    path("signup", signup),
    path("order", order),
]


def main():
    if sys.argv[1] == "migrate":
        call_command("migrate", verbosity=0)
        call_command("migrate", run_syncdb=True, verbosity=0)
        return

    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    from django.core.wsgi import get_wsgi_application

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server(
        "127.0.0.1", int(sys.argv[2]), get_wsgi_application(), Server
    ).serve_forever()


if __name__ == "__main__":
    main()
