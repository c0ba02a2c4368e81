"""A marketplace's side of the webhooks, as small as it gets: check the signature, carry it out, confirm.

Run it as `python receiver.py PORT KOBAN_URL`, with the endpoint's secret in WEBHOOK_SECRET and a token in TOKEN.
"""

import http.server
import json
import os
import sys
import urllib.request

from standardwebhooks import Webhook

PORT, KOBAN = int(sys.argv[1]), sys.argv[2]
WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
TOKEN = os.environ["TOKEN"]


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every webhook, prints what it asks for, and confirms it."""

    def do_POST(self) -> None:
        """Check the signature before anything is believed, carry out, confirm."""
        body = self.rfile.read(int(self.headers["content-length"]))
        WEBHOOK.verify(body, dict(self.headers.items()))
        self.send_response(204)
        self.end_headers()
        asked = json.loads(body)
        subject = asked["data"]["subject"]
        # A real marketplace remembers `state_version` per subject, ignores older ones, and stores `state` as it is.
        hidden = asked["data"]["state"]["hidden"]
        # One write for the whole line: two webhooks about different subjects come at the same time.
        sys.stdout.write(f"{asked['type']}  {subject['kind']} {subject['id']}  hidden: {hidden}\n")
        sys.stdout.flush()
        address = f"{KOBAN}/v1/actions/{self.headers['webhook-id']}/confirm"
        confirmation = urllib.request.Request(  # noqa: S310 - the address of our own Koban
            address, data=b"", headers={"Authorization": f"Bearer {TOKEN}"}, method="POST"
        )
        urllib.request.urlopen(confirmation).close()  # noqa: S310 - as above

    def log_message(self, *_: object) -> None:
        """Keep quiet; what matters is printed above."""


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
