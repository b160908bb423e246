#!/usr/bin/python3
# Sends the events of hype to a URL, one after the other, according to Standard
# Webhooks: see README.md.

import base64, hashlib, hmac, http.client, os, random, select, sys, time
import urllib.request
import psycopg2

URL = os.environ['WEBHOOK_URL']
SECRET = base64.b64decode(os.environ['WEBHOOK_SECRET'].removeprefix('whsec_'))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def send(number, body):
    name, now = f'hype_{number}', str(int(time.time()))
    sign = hmac.new(SECRET, f'{name}.{now}.{body}'.encode(), hashlib.sha256)
    urllib.request.build_opener(NoRedirect).open(urllib.request.Request(
        URL, body.encode(), {
            'Content-Type': 'application/json',
            'webhook-id': name,
            'webhook-timestamp': now,
            'webhook-signature':
                'v1,' + base64.b64encode(sign.digest()).decode(),
        }), timeout=20).close()


def again(what, *args):
    wait = 1
    while True:
        began = time.monotonic()
        try:
            return what(*args)
        except (OSError, http.client.HTTPException, psycopg2.Error) as error:
            print(*args[:1], str(error).strip(), file=sys.stderr, flush=True)
        if time.monotonic() > began + 60:
            wait = 1     # it worked for a while before it failed
        time.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, 600)


def follow():
    db = psycopg2.connect(os.environ.get('DATABASE', ''))
    db.autocommit = True
    sql = db.cursor()

    # one sender at a time
    sql.execute('SELECT pg_advisory_lock(hashtextextended(%s, 0))', [URL])
    sql.execute('LISTEN hype_event')
    sql.execute('INSERT INTO webhook (url) VALUES (%s) ON CONFLICT DO NOTHING',
                [URL])

    while True:
        sql.execute('''
            SELECT e.id, json_build_object('type', e.kind, 'timestamp', e.at,
                                           'data', e.payload)::text
            FROM webhook w, hype.events_after(w.event_id) e
            WHERE w.url = %s''', [URL])

        for number, body in sql.fetchall():
            again(send, number, body)
            sql.execute('UPDATE webhook SET event_id = %s WHERE url = %s',
                        [number, URL])

        if not sql.rowcount:
            if not db.notifies:     # it may have come with the answer
                select.select([db], [], [], 10)     # NOTIFY, or 10 seconds
                db.poll()
            db.notifies.clear()


again(follow)
