//! What S3 answered, what happens next and what to do.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use lakefeed_core::{Error, ErrorKind};

/// An operation of S3, and the right it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Put,
    Begin,
    Part,
    Complete,
    Abort,
    List,
    ListUploads,
    Head,
    Get,
    Delete,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "PutObject",
            Self::Begin => "CreateMultipartUpload",
            Self::Part => "UploadPart",
            Self::Complete => "CompleteMultipartUpload",
            Self::Abort => "AbortMultipartUpload",
            Self::List => "ListObjectsV2",
            Self::ListUploads => "ListMultipartUploads",
            Self::Head => "HeadObject",
            Self::Get => "GetObject",
            Self::Delete => "DeleteObject",
        }
    }

    /// Amazon S3 User Guide, "Required permissions for Amazon S3 API operations".
    fn right(self) -> &'static str {
        match self {
            Self::Put | Self::Begin | Self::Part | Self::Complete => "s3:PutObject",
            Self::Abort => "s3:AbortMultipartUpload",
            Self::List => "s3:ListBucket",
            Self::ListUploads => "s3:ListBucketMultipartUploads",
            // Without s3:ListBucket a missing object is answered with 403 in the place of 404.
            Self::Head | Self::Get => "s3:GetObject and s3:ListBucket",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

/// What a request was about.
pub(crate) struct Request<'a> {
    pub(crate) op: Op,
    pub(crate) bucket: &'a str,
    /// The whole key or prefix.
    pub(crate) key: &'a str,
    pub(crate) endpoint: &'a str,
}

/// What S3 said in an answer that is no success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    /// The bucket's region, if the request went to another one.
    region: Option<String>,
}

impl Answer {
    /// The answer in an error of the SDK; `None` if none arrived.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let SdkError::ServiceError(service) = error else { return None };
        let header = |name| service.raw().headers().get(name).map(str::to_owned);
        let text = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
        Some(Self {
            status: service.raw().status().as_u16(),
            code: text(service.err().code()),
            message: text(service.err().message()),
            request_id: header("x-amz-request-id"),
            region: header("x-amz-bucket-region"),
        })
    }

    /// Whether it has this status or code.
    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status || self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "S3 says '{message}'")?,
            None => write!(f, "S3 gives no reason")?,
        }
        self.request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

impl StdError for Answer {}

impl Request<'_> {
    /// The error for a request that failed.
    pub(crate) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let Some(answer) = Answer::of(&error) {
            return self.answered(answer);
        }
        let endpoint = self.endpoint;
        let (kind, what) = match &error {
            SdkError::TimeoutError(_) => {
                (ErrorKind::Retry, format!("{endpoint} does not answer in time; check the address and the network"))
            }
            SdkError::DispatchFailure(failure) if !failure.is_user() => (
                ErrorKind::Retry,
                format!("can't reach {endpoint}; check the address (store.url, AWS_ENDPOINT_URL) and that the store runs"),
            ),
            SdkError::ResponseError(_) => (ErrorKind::Retry, format!("the answer of {endpoint} broke off or is not S3's")),
            _ => (ErrorKind::Config, "the request could not be made; check the settings of the store".to_owned()),
        };
        let cause = error.into_source().unwrap_or_else(|error| Box::new(error));
        let (kind, what) = credentials_trouble(&*cause).unwrap_or((kind, what));
        Error::new(kind, format!("{self}: {what}")).with_source(cause)
    }

    fn answered(&self, answer: Answer) -> Error {
        let (kind, advice) = self.judge(&answer);
        let code = answer.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        Error::new(kind, format!("{self} failed: HTTP {}{code}{advice}", answer.status)).with_source(answer)
    }

    /// What happens next, and what a person can do.
    fn judge(&self, answer: &Answer) -> (ErrorKind, Option<String>) {
        let Self { op, bucket, key, endpoint } = self;
        let (kind, advice) = match (answer.status, answer.code.as_deref().unwrap_or_default()) {
            (_, "NoSuchBucket") => {
                (ErrorKind::Config, format!("bucket '{bucket}' does not exist at {endpoint}; create it or correct s3.bucket.name"))
            }
            (_, "InvalidBucketName") => (ErrorKind::Config, format!("'{bucket}' can't be the name of a bucket; correct s3.bucket.name")),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired") => (
                ErrorKind::Config,
                "the store does not accept these credentials; check aws.access.key.id and aws.secret.access.key, or the AWS environment, \
                 profile or role"
                    .to_owned(),
            ),
            (_, "RequestTimeTooSkewed") => (ErrorKind::Config, "the clock of this machine is wrong; set it".to_owned()),
            (301 | 307, _) | (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                let region = answer.region.as_deref().map(|region| format!(" ({region})")).unwrap_or_default();
                (ErrorKind::Config, format!("bucket '{bucket}' is in another region{region}; set s3.region or AWS_REGION to it"))
            }
            (501, _) | (_, "NotImplemented") => (
                ErrorKind::Config,
                "this store lacks something that was asked for; it must know If-None-Match, check the other settings too".to_owned(),
            ),
            (401 | 403, _) => {
                let right = op.right();
                (ErrorKind::Config, format!("the credentials need the right {right} on bucket '{bucket}', '{key}'"))
            }
            (404, _) if matches!(op, Op::Get) => (ErrorKind::Fatal, "there is no such object".to_owned()),
            (507, _) | (_, "XMinioStorageFull") => {
                (ErrorKind::Retry, "the store is full; free space, writing goes on by itself".to_owned())
            }
            (408 | 429 | 500..=599, _) => return (ErrorKind::Retry, None),
            (_, "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable" | "Throttling" | "OperationAborted") => {
                return (ErrorKind::Retry, None);
            }
            _ => return (ErrorKind::Fatal, None),
        };
        (kind, Some(advice))
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s3://{}/{} at {}", self.op.name(), self.bucket, self.key, self.endpoint)
    }
}

/// Whether credentials are to blame, by the words of the SDK: it wraps the error of its chain in types of which none is public here.
fn credentials_trouble(error: &(dyn StdError + 'static)) -> Option<(ErrorKind, String)> {
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["credential provider was not enabled", "credentials provider was not properly configured", "no providers in chain"]) {
            let advice = "no credentials; set aws.access.key.id and aws.secret.access.key, or AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY, or a profile";
            return Some((ErrorKind::Config, advice.to_owned()));
        }
        if says(&["credentials provider timed out", "identity resolver timed out", "error occurred while loading credentials"]) {
            let advice = "the credentials could not be fetched; check the profile, role, web identity or instance they come from, or set \
                          aws.access.key.id and aws.secret.access.key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)";
            return Some((ErrorKind::Retry, advice.to_owned()));
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(op: Op, status: u16, code: &str, region: Option<&str>) -> Error {
        let answer = Answer {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: Some("why".into()),
            request_id: Some("17F".into()),
            region: region.map(str::to_owned),
        };
        Request { op, bucket: "b", key: "k", endpoint: "http://h" }.answered(answer)
    }

    #[test]
    fn the_code_decides_what_happens_next() {
        for (kind, answers) in [
            (
                ErrorKind::Retry,
                &[
                    (500, ""),
                    (503, "SlowDown"),
                    (503, ""),
                    (429, ""),
                    (408, ""),
                    (400, "RequestTimeout"),
                    (507, ""),
                    (200, "InternalError"),
                ][..],
            ),
            (
                ErrorKind::Config,
                &[
                    (403, ""),
                    (403, "AccessDenied"),
                    (401, ""),
                    (404, "NoSuchBucket"),
                    (403, "SignatureDoesNotMatch"),
                    (400, "ExpiredToken"),
                    (301, ""),
                    (501, "NotImplemented"),
                ],
            ),
            (ErrorKind::Fatal, &[(400, "InvalidPart"), (404, "NoSuchKey"), (416, "InvalidRange"), (400, "")]),
        ] {
            for (status, code) in answers {
                let error = error(Op::Put, *status, code, None);
                assert_eq!(error.kind(), kind, "{error}");
            }
        }
    }

    #[test]
    fn messages_name_everything_and_say_what_to_do() {
        assert_eq!(
            error(Op::Put, 403, "AccessDenied", None).chain(),
            "PutObject s3://b/k at http://h failed: HTTP 403 AccessDenied; the credentials need the right s3:PutObject on bucket 'b', 'k': \
             S3 says 'why' (request 17F)"
        );
        assert_eq!(
            error(Op::List, 404, "NoSuchBucket", None).to_string(),
            "ListObjectsV2 s3://b/k at http://h failed: HTTP 404 NoSuchBucket; bucket 'b' does not exist at http://h; create it or correct \
             s3.bucket.name"
        );
        assert_eq!(
            error(Op::Head, 301, "", Some("eu-west-1")).to_string(),
            "HeadObject s3://b/k at http://h failed: HTTP 301; bucket 'b' is in another region (eu-west-1); set s3.region or AWS_REGION to it"
        );
        assert_eq!(error(Op::Put, 503, "SlowDown", None).to_string(), "PutObject s3://b/k at http://h failed: HTTP 503 SlowDown");
    }
}
