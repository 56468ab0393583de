"""Credentials that are more than a key. In: what the operator wrote, the environment. Out: a credential, or None.

Google: `GOOGLE_APPLICATION_CREDENTIALS`, else what gcloud left (https://docs.cloud.google.com/docs/authentication/application-default-credentials).
AWS: the usual variables (https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html), or a file of them. Of metadata services only
Google's is asked, and only where the operator wrote `credentials = "metadata"`.
"""

import configparser
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import ConfigError
from trunkline.providers.google_tokens import GoogleCredential, credential_of, metadata_credential
from trunkline.providers.sigv4 import AwsCredential

METADATA = "metadata"
"""In place of a file: the account that the machine runs as."""

Credential = GoogleCredential | AwsCredential

INSTEAD_OF_A_KEY = {
    "google": "GOOGLE_APPLICATION_CREDENTIALS",
    "aws": "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY",
}
"""Variables that bring a credential, for telling."""


def found_credential(accepts: str, written: str, env: Mapping[str, str], where: str) -> Credential | None:
    """`written` is the operator's `credentials`: a file, `metadata`, or "" to look where these credentials usually are. Raises ConfigError with the mend."""
    if accepts == "google":
        return _google(written, env, where)
    if accepts == "aws":
        return _aws(written, env, where)
    if written:
        raise ConfigError("is for Google and AWS: put a key into `api_key`", where=where)
    return None


def _google(written: str, env: Mapping[str, str], where: str) -> GoogleCredential | None:
    if written == METADATA:
        return metadata_credential(env.get("GCE_METADATA_HOST", "").strip())
    named = written or env.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    if named:
        place = where if written else "GOOGLE_APPLICATION_CREDENTIALS"
        return credential_of(_read(named, env, place), f"{place}: {named}")
    usual = _gcloud_file(env)
    return credential_of(usual.read_bytes(), str(usual)) if usual is not None and usual.is_file() else None


def _gcloud_file(env: Mapping[str, str]) -> Path | None:
    folder = env.get("CLOUDSDK_CONFIG") or (f"{env['HOME']}/.config/gcloud" if env.get("HOME") else "")
    return Path(folder) / "application_default_credentials.json" if folder else None


def _aws(written: str, env: Mapping[str, str], where: str) -> AwsCredential | None:
    if written:
        return _aws_file(_read(written, env, where), env.get("AWS_PROFILE") or "default", f"{where}: {written}")
    key, secret = env.get("AWS_ACCESS_KEY_ID", "").strip(), env.get("AWS_SECRET_ACCESS_KEY", "").strip()
    if not key or not secret:
        return None
    session_token = env.get("AWS_SESSION_TOKEN", "").strip()
    return AwsCredential(access_key_id=key, secret_access_key=secret, session_token=session_token)


def _aws_file(text: bytes, profile: str, where: str) -> AwsCredential:
    """https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html"""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        raise ConfigError(
            "is no credentials file of AWS: write [default] with aws_access_key_id", where=where
        ) from None
    found = dict(parser[profile]) if parser.has_section(profile) else {}
    if not found.get("aws_access_key_id") or not found.get("aws_secret_access_key"):
        mend = "give aws_access_key_id and aws_secret_access_key there, or set AWS_PROFILE"
        raise ConfigError(f"has no access key in [{profile}]: {mend}", where=where)
    return AwsCredential(
        access_key_id=found["aws_access_key_id"],
        secret_access_key=found["aws_secret_access_key"],
        session_token=found.get("aws_session_token", ""),
    )


def _read(name: str, env: Mapping[str, str], where: str) -> bytes:
    path = Path(f"{env.get('HOME', '~')}{name[1:]}" if name.startswith("~/") else name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name a readable file", where=where) from None
