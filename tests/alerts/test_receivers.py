"""Webhooks and mail over real sockets."""

import hmac
import json
import ssl

import pytest
import trustme

from tests.fakes.raw_peer import peer_saying
from tests.fakes.smtp import SmtpServer
from trunkline.alerts.mail import Mail
from trunkline.alerts.types import Alert, UndeliveredError
from trunkline.alerts.webhook import Webhook
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions

ALERT = Alert(
    "budget:1", "budget.threshold", "80 % of the budget", "80 of 100 USD are spent.", {"percent": 80, "at": None}
)
AT_MS = 1_793_534_400_000
FROM, TO = "gateway@example.com", ("alice@example.com", "ops@example.com")


@pytest.fixture
async def transport():
    transport = HttpTransport(TransportOptions())
    yield transport
    await transport.aclose()


def answer(status):
    return f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode()


async def test_a_webhook_gets_signed_json(transport):
    async with peer_saying(answer(204)) as peer:
        await Webhook(transport, f"http://127.0.0.1:{peer.port}/hooks/a?b=c", "s3cret").tell(ALERT, AT_MS)
    head, body = peer.heads[0].decode().lower(), peer.bodies[0]
    assert head.startswith("post /hooks/a?b=c http/1.1")
    assert "x-trunkline-event: budget.threshold" in head
    signed = hmac.digest(b"s3cret", b"1793534400." + body, "sha256").hex()
    assert f"x-trunkline-signature: t=1793534400,v1={signed}" in head
    told = json.loads(body)
    assert (told["type"], told["at"], told["data"]) == ("budget.threshold", "2026-11-01T12:00:00Z", ALERT.data)
    assert told["id"].startswith("alert_")


@pytest.mark.parametrize("status", [302, 404, 500, 503])
async def test_an_answer_that_is_no_success_is_none(transport, status):
    async with peer_saying(answer(status)) as peer:
        with pytest.raises(UndeliveredError, match=f"127.0.0.1 answered {status}"):
            await Webhook(transport, f"http://127.0.0.1:{peer.port}/", "s").tell(ALERT, AT_MS)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe"])
async def test_metadata_of_clouds_is_never_told(transport, host):
    with pytest.raises(UndeliveredError, match="was not reached"):
        await Webhook(transport, f"http://{host}/latest", "s").tell(ALERT, AT_MS)


@pytest.fixture
def certificates(tmp_path):
    """Of a server on 127.0.0.1, and the file to trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return context, str(tmp_path / "ca.pem")


@pytest.fixture
def mail_server():
    made = []

    def make(**options):
        made.append(SmtpServer(**options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


async def test_a_mail_says_what_it_is_about_to_everyone(mail_server):
    server = mail_server()
    await Mail(f"smtp://127.0.0.1:{server.port}", FROM, TO).tell(ALERT, AT_MS)
    (mail,) = server.mails
    assert (mail["subject"], mail["from"], mail["to"]) == (f"Trunkline: {ALERT.title}", FROM, ", ".join(TO))
    assert mail["date"] == "Sun, 01 Nov 2026 12:00:00 +0000"
    text = mail.get_payload()
    assert "80 of 100 USD are spent." in text
    assert "percent: 80" in text
    assert "None" not in text


async def test_a_password_goes_over_starttls_alone(mail_server, certificates):
    context, ca_file = certificates
    server = mail_server(tls=context, password="p@ss")
    await Mail(f"smtp://us%65r:p%40ss@127.0.0.1:{server.port}", FROM, TO, ca_file).tell(ALERT, AT_MS)
    assert (server.logins, len(server.mails)) == (["user"], 1)
    assert server.said == ["EHLO", "STARTTLS", "TLS"]


async def test_no_password_is_sent_in_the_open(mail_server):
    server = mail_server(password="p@ss")
    with pytest.raises(UndeliveredError):
        await Mail(f"smtp://user:p%40ss@127.0.0.1:{server.port}", FROM, TO).tell(ALERT, AT_MS)
    assert "AUTH" not in server.said


async def test_a_certificate_of_nobody_known_ends_it(mail_server, certificates):
    server = mail_server(tls=certificates[0])
    with pytest.raises(UndeliveredError, match="SSLCertVerificationError"):
        await Mail(f"smtp://127.0.0.1:{server.port}", FROM, TO).tell(ALERT, AT_MS)
    assert server.mails == []


async def test_tls_from_the_first_byte(mail_server, certificates):
    context, ca_file = certificates
    server = mail_server(tls=context, tls_first=True)
    await Mail(f"smtps://127.0.0.1:{server.port}", FROM, TO, ca_file).tell(ALERT, AT_MS)
    assert len(server.mails) == 1


async def test_what_a_server_answers_is_not_repeated(mail_server, certificates):
    context, ca_file = certificates
    server = mail_server(tls=context, password="right")
    with pytest.raises(UndeliveredError) as caught:
        await Mail(f"smtp://user:wr0ng@127.0.0.1:{server.port}", FROM, TO, ca_file).tell(ALERT, AT_MS)
    assert "535" in str(caught.value)
    assert "wr0ng" not in str(caught.value)


async def test_a_mail_that_is_not_taken_is_told(mail_server):
    server = mail_server()
    server.refuse = "452 full"
    with pytest.raises(UndeliveredError):
        await Mail(f"smtp://127.0.0.1:{server.port}", FROM, TO).tell(ALERT, AT_MS)
