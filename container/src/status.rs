//! A component's own errors.

use std::fmt;

use bytes::Bytes;

/// What kind of error a [`Status`] is. The codes, and their numbers, are gRPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Code {
    /// The operation was given up, typically by the caller.
    Cancelled = 1,
    /// Nothing more is known.
    Unknown = 2,
    /// The request makes no sense, whatever the state of the system.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is already there.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// Something has run out.
    ResourceExhausted = 8,
    /// The system is not in the state that this needs.
    FailedPrecondition = 9,
    /// It was given up because of a conflict; trying the whole again may help.
    Aborted = 10,
    /// Past a valid range.
    OutOfRange = 11,
    /// There is no such operation.
    Unimplemented = 12,
    /// An invariant was broken.
    Internal = 13,
    /// Not possible right now; trying again may help.
    Unavailable = 14,
    /// Data are lost or corrupt.
    DataLoss = 15,
    /// The caller did not say who it is.
    Unauthenticated = 16,
}

impl Code {
    /// Returns the code with this number; [`Code::Unknown`] for any other.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// Returns the code as settings name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// Returns the number that travels.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// A component's own error: what its caller gets as [`CallError::Remote`](crate::CallError::Remote).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Status {
    code: Code,
    message: String,
    details: Bytes,
}

impl Status {
    /// Makes an error of a kind, with a text for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Bytes::new(),
        }
    }

    /// Adds details, encoded as caller and callee agreed.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }

    /// Returns the kind.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns the text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the details.
    #[must_use]
    pub const fn details(&self) -> &Bytes {
        &self.details
    }
}

/// One constructor for each code people use.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident),* $(,)?) => {
        impl Status {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            })*
        }
    };
}

constructors! {
    /// Makes a [`Code::InvalidArgument`].
    invalid_argument => InvalidArgument,
    /// Makes a [`Code::NotFound`].
    not_found => NotFound,
    /// Makes a [`Code::AlreadyExists`].
    already_exists => AlreadyExists,
    /// Makes a [`Code::PermissionDenied`].
    permission_denied => PermissionDenied,
    /// Makes a [`Code::ResourceExhausted`].
    resource_exhausted => ResourceExhausted,
    /// Makes a [`Code::FailedPrecondition`].
    failed_precondition => FailedPrecondition,
    /// Makes a [`Code::Aborted`].
    aborted => Aborted,
    /// Makes a [`Code::Unimplemented`].
    unimplemented => Unimplemented,
    /// Makes a [`Code::Internal`].
    internal => Internal,
    /// Makes a [`Code::Unavailable`].
    unavailable => Unavailable,
    /// Makes a [`Code::Unknown`].
    unknown => Unknown,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
