//! The leaf: what everyone may see of an event, and a commitment to the rest.
//!
//! ```text
//! offset  bytes  field
//!      0      1  version, 1
//!      1      1  kind, a code of LeafKind
//!      2      6  reserved, zero
//!      8      8  time: seconds since 1970, rounded down to the policy's quantum, big-endian
//!     16      8  number: index of the leaf in the log, big-endian
//!     24     32  commitment: HMAC-SHA-256(salt, body), salt random, 32 bytes
//! ```
//!
//! The size is fixed and the commitment salted, so that the published log says no more than the kind and the quantum. The body
//! lies elsewhere, encrypted; whoever is shown it gets its salt too and checks it with [`Leaf::opens`].

use super::merkle::{Hash, leaf_hash};
use ring::hmac;
use serde::Serialize;
use std::num::NonZeroU64;

/// Size of a leaf in bytes.
pub const LEAF_BYTES: usize = 56;
/// The version written.
pub const LEAF_VERSION: u8 = 1;

macro_rules! kinds {
    ($($variant:ident = $code:literal, $name:literal, $zh:literal;)*) => {
        /// What happened. Codes are published for good: never renumber, never reuse.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum LeafKind {
            $(#[doc = concat!($name, " ", $zh)] $variant = $code,)*
        }

        impl LeafKind {
            /// Every kind, by code.
            pub const ALL: &[LeafKind] = &[$(LeafKind::$variant),*];

            /// The code in a leaf.
            pub fn code(self) -> u8 {
                self as u8
            }
            /// The kind of a code.
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
            /// Name in English.
            pub fn en(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
            /// Name in Chinese.
            pub fn zh(self) -> &'static str {
                match self {
                    $(Self::$variant => $zh,)*
                }
            }
        }
    };
}

// 0 stays unassigned, so that a zeroed leaf is none.
kinds! {
    Submission = 1, "job submitted", "作业提交";
    Decision = 2, "decision", "出域裁定";
    Denial = 3, "denial", "拒绝";
    UnauthenticatedDenials = 4, "unauthenticated denials, counted", "未认证请求拒绝（计数）";
    Review = 5, "output review", "出域审核";
    Approval = 6, "module review", "模块审核";
    Authorisation = 7, "authorisation", "授权";
    Revocation = 8, "revocation", "撤销";
    Import = 9, "import", "数据导入";
    Disposal = 10, "disposal", "数据销毁";
    Agreement = 11, "agreement", "协议";
    Application = 12, "application", "申请";
    Registration = 13, "registration", "登记";
    ModuleUpload = 14, "module upload", "模块上传";
    KeyChange = 15, "key change", "密钥变更";
    JobState = 16, "job state", "作业状态";
    Release = 17, "release", "出域";
    Freeze = 18, "freeze", "冻结";
    ReviewCopy = 19, "review copy", "审核副本";
    Reservation = 20, "budget reservation", "预算预留";
    Spend = 21, "budget spend", "预算支出";
    Recovery = 22, "recovery", "恢复";
    Feedback = 23, "feedback", "反馈";
    Account = 24, "account", "账户";
    Budget = 25, "privacy budget", "隐私预算";
    ReleaseRequest = 26, "release request", "出域申请";
    Vote = 27, "reviewer's vote", "审核投票";
    Appeal = 28, "appeal", "申诉";
    Alert = 29, "alert acknowledged", "告警确认";
    Answer = 30, "verification answer", "核验答复";
    Issuer = 31, "token issuer", "同意凭证签发方";
    Audit = 32, "audit hold", "差分审计暂扣";
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What happened.
    pub kind: LeafKind,
    /// Start of the time quantum, seconds since 1970.
    pub time_s: u64,
    /// Index in the log.
    pub number: u64,
    /// HMAC-SHA-256(salt, body).
    pub commitment: [u8; 32],
}

/// Why bytes are not a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LeafError {
    /// Not [`LEAF_BYTES`] long.
    #[error("a leaf has 56 bytes")]
    Length,
    /// Another version.
    #[error("unknown leaf version")]
    Version,
    /// A code outside [`LeafKind`].
    #[error("unknown leaf kind")]
    Kind,
    /// Reserved bytes are not zero.
    #[error("reserved bytes are not zero")]
    Reserved,
}

impl Leaf {
    /// A leaf for `body` (canonical bytes) at index `number`. `salt` must be fresh from a secure random source.
    pub fn new(kind: LeafKind, time_s: u64, quantum_s: NonZeroU64, number: u64, salt: &[u8; 32], body: &[u8]) -> Self {
        let time_s = time_s.saturating_sub(time_s % quantum_s);
        Self { kind, time_s, number, commitment: commit(salt, body) }
    }

    /// The published bytes.
    pub fn to_bytes(&self) -> [u8; LEAF_BYTES] {
        let header = [LEAF_VERSION, self.kind.code(), 0, 0, 0, 0, 0, 0];
        let mut out = [0; LEAF_BYTES];
        let fields = header.into_iter().chain(self.time_s.to_be_bytes()).chain(self.number.to_be_bytes()).chain(self.commitment);
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }

    /// Reads published bytes; every byte is checked or kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let bytes: &[u8; LEAF_BYTES] = bytes.try_into().map_err(|_| LeafError::Length)?;
        let (head, rest) = bytes.split_first_chunk::<8>().ok_or(LeafError::Length)?;
        let (time, rest) = rest.split_first_chunk::<8>().ok_or(LeafError::Length)?;
        let (number, commitment) = rest.split_first_chunk::<8>().ok_or(LeafError::Length)?;
        let [version, kind, reserved @ ..] = head;
        if *version != LEAF_VERSION {
            return Err(LeafError::Version);
        }
        let kind = LeafKind::from_code(*kind).ok_or(LeafError::Kind)?;
        if reserved != &[0; 6] {
            return Err(LeafError::Reserved);
        }
        let commitment = commitment.try_into().map_err(|_| LeafError::Length)?;
        Ok(Self { kind, time_s: u64::from_be_bytes(*time), number: u64::from_be_bytes(*number), commitment })
    }

    /// The RFC 6962 leaf hash of the published bytes.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.to_bytes())
    }

    /// Whether `body` with `salt` is what this leaf commits to. Constant time.
    pub fn opens(&self, salt: &[u8; 32], body: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, salt), body, &self.commitment).is_ok()
    }
}

/// HMAC-SHA-256(salt, body).
pub fn commit(salt: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), body);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: NonZeroU64 = NonZeroU64::new(60).unwrap();

    #[test]
    fn layout_is_fixed() {
        let leaf = Leaf::new(LeafKind::Denial, 1_700_000_039, MINUTE, 0x0102, &[7; 32], b"body");
        let bytes = leaf.to_bytes();
        assert_eq!(bytes[..8], [1, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..16], 1_699_999_980_u64.to_be_bytes());
        assert_eq!(bytes[16..24], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Leaf::parse(&bytes), Ok(leaf.clone()));
        assert!(leaf.opens(&[7; 32], b"body"));
        assert!(!leaf.opens(&[7; 32], b"bodY") && !leaf.opens(&[8; 32], b"body"));
    }

    /// RFC 4231 test case 2 has a short key; case 1's key is 20 bytes. HMAC pads a key with zeros, so both fit a 32-byte salt.
    #[test]
    fn commitment_is_hmac_sha256() {
        let mut salt = [0; 32];
        salt[..4].copy_from_slice(b"Jefe");
        let hex: String = commit(&salt, b"what do ya want for nothing?").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = Leaf::new(LeafKind::Release, 60, MINUTE, 0, &[0; 32], b"").to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Leaf::parse(&bytes)
        };
        assert_eq!(with(0, 2), Err(LeafError::Version));
        assert_eq!(with(1, 0), Err(LeafError::Kind));
        assert_eq!(with(1, 200), Err(LeafError::Kind));
        for at in 2..8 {
            assert_eq!(with(at, 1), Err(LeafError::Reserved));
        }
        assert_eq!(Leaf::parse(&good[..55]), Err(LeafError::Length));
        for kind in LeafKind::ALL {
            assert_eq!(LeafKind::from_code(kind.code()), Some(*kind));
        }
    }
}
