"""Creates a bucket on the S3 store at S3_ENDPOINT: bucket.py NAME. One that is there already is no error.

Signed with AWS Signature Version 4 from the standard library alone, so that it works before anything is installed. The keys are
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (default minioadmin), the region AWS_REGION (default us-east-1).
"""

import datetime
import hashlib
import hmac
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def create(endpoint, bucket):
    access_key = os.environ.get("AWS_ACCESS_KEY_ID", "minioadmin")
    secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY", "minioadmin")
    region = os.environ.get("AWS_REGION", "us-east-1")
    host = urllib.parse.urlsplit(endpoint).netloc
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    # A bucket outside the oldest region says where it is to be.
    body = b""
    if region != "us-east-1":
        body = f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>".encode()
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    request = f"PUT\n/{bucket}\n\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n\n{names}\n{digest}"
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = sign(key, part)
    signature = sign(key, text).hex()
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}",
        "x-amz-content-sha256": digest,
        "x-amz-date": now,
    }
    # A proxy of the environment is not asked for what is on this machine or in its network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(f"{endpoint.rstrip('/')}/{bucket}", data=body, headers=headers, method="PUT"), timeout=30)


def main():
    endpoint = os.environ.get("S3_ENDPOINT")
    if len(sys.argv) != 2 or not endpoint:
        sys.exit("usage: S3_ENDPOINT=http://HOST:PORT bucket.py NAME")
    try:
        create(endpoint, sys.argv[1])
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")
        if "BucketAlreadyOwnedByYou" not in answer:
            sys.exit(f"bucket.py: {endpoint} answered {error.code} for bucket {sys.argv[1]!r}: {answer}")
    except urllib.error.URLError as error:
        sys.exit(f"bucket.py: can't reach {endpoint}: {error.reason}")


main()
