"""manifests.py file ...: manifests, as one JSON array, if Kubernetes' own client
knows all that they have: the kind in its group, fields by name and type, none that
is required missing."""

import json
import re
import sys
from types import SimpleNamespace

import yaml
from kubernetes import client

api = client.ApiClient()


def model(manifest):
    group, _, version = manifest['apiVersion'].rpartition('/')
    name = (group.split('.')[0] or 'core').title() + version.title() + 'Api'
    kind = manifest['kind']
    create = 'create_namespaced' + re.sub('([A-Z])', r'_\1', kind).lower()

    if not hasattr(getattr(client, name, None), create):
        raise ValueError(f'no {kind} in {manifest["apiVersion"]}')

    return version.title() + kind


# What the client does not know, or has made something else of, differs.

def check(manifest):
    response = SimpleNamespace(data=json.dumps(manifest))
    known = api.deserialize(response, model(manifest))
    compare(manifest, api.sanitize_for_serialization(known), manifest['kind'])


def compare(here, there, path):
    if type(here) is not type(there):
        raise ValueError(f'{path}: {here!r}')

    if isinstance(here, dict):
        for name in here:
            compare(here[name], there.get(name), f'{path}.{name}')

    elif isinstance(here, list):
        for number, value in enumerate(here):
            compare(value, there[number], f'{path}[{number}]')

    elif here != there:
        raise ValueError(f'{path}: {here!r}')


manifests = []

for name in sys.argv[1:]:
    with open(name) as file:
        for manifest in yaml.safe_load_all(file):
            try:
                check(manifest)
            except (ValueError, KeyError, TypeError) as error:
                sys.exit(f'{name}: {error}')
            manifests.append(manifest)

json.dump(manifests, sys.stdout, sort_keys=True)
