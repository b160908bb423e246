"""The tables that django-hype's models make."""

from uuid import uuid4

from django.conf import settings
from django.db import models


class ReferralLink(models.Model):
    id = models.AutoField(primary_key=True)
    identifier = models.CharField(max_length=50, blank=True, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL
    )
    disabled = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)


class ReferralHit(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4)
    authenticated = models.BooleanField()
    ip = models.GenericIPAddressField()
    user_agent = models.TextField(blank=True)
    http_referer = models.TextField(blank=True)
    next = models.URLField(blank=True)
    confirmed = models.DateTimeField(null=True, blank=True, db_index=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)
    hit_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    referral_link = models.ForeignKey(ReferralLink, on_delete=models.CASCADE)
