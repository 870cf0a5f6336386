//! What can be wrong with a bundle, in both languages. Nothing of its content is repeated but names of files and fields.

use std::fmt;

use serde::Serialize;

use super::Part;
use crate::tlog::CheckpointError;
use crate::tlog::leaf::LeafError;
use crate::tlog::note::NoteError;

/// The first thing wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Fault {
    /// The file, or the zip.
    pub part: Part,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Larger than a bundle may be.
    TooLarge,
    /// Not a zip, or cut.
    NoZip,
    /// An entry that no bundle has.
    Extra(String),
    /// Twice, or at another place than its own.
    Order,
    /// Not there.
    Missing,
    /// There, where nothing calls for it.
    Unwanted,
    /// Compressed.
    Compressed,
    /// Its content and its checksum differ.
    Checksum,
    /// A header or the directory is not spelled in the one way.
    Header(Option<Part>),
    /// Not of its form, or spelled in another way.
    Form,
    /// The log's signature.
    Log(CheckpointError),
    /// The witness's.
    Witness(NoteError),
    /// The leaf is none, or of another kind or place.
    Leaf(Option<LeafError>),
    /// The leaf does not commit to it.
    Opening,
    /// The log does not hold the leaf.
    Inclusion,
    /// The decision did not commit to it.
    Artefact,
    /// It speaks of another release than the decision.
    Other,
    /// The decision was to hold it, and no two valid approvals are there, of people apart from operator, author and the module's approver.
    Votes,
    /// A reviewer's signature.
    VoteSignature,
    /// The decision rests on other terms.
    Terms,
    /// The manifest says something else than the files.
    Field(String),
    /// Neither the log nor a key vouches for it, and the manifest names another digest.
    Digest,
}

impl Fault {
    pub(super) fn new(part: Part, cause: Cause) -> Self {
        Self { part, cause }
    }

    /// In Chinese.
    pub fn zh(&self) -> String {
        format!("{}：{}", self.part.file(), self.cause.zh())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.file(), self.cause.en())
    }
}

impl Cause {
    /// In English.
    pub fn en(&self) -> String {
        match self {
            Self::TooLarge => "it is larger than a bundle may be".into(),
            Self::NoZip => "it is no zip, or is cut short".into(),
            Self::Extra(name) => format!("no bundle has the entry `{}`", name.escape_debug()),
            Self::Order => "it stands twice, or not at its place".into(),
            Self::Missing => "it is missing".into(),
            Self::Unwanted => "it is there, and nothing calls for it".into(),
            Self::Compressed => "it is compressed; a bundle stores".into(),
            Self::Checksum => "content and checksum differ".into(),
            Self::Header(Some(part)) => format!("the header of {} is not spelled in the one way", part.file()),
            Self::Header(None) => "the directory at the end is not spelled in the one way".into(),
            Self::Form => "it is not of its form, or spelled in another way".into(),
            Self::Log(error) => format!("the log's signature does not hold: {error}"),
            Self::Witness(error) => format!("the witness's signature does not hold: {error}"),
            Self::Leaf(Some(error)) => format!("a leaf is none: {error}"),
            Self::Leaf(None) => "a leaf is of another kind or place".into(),
            Self::Opening => "the leaf does not commit to it".into(),
            Self::Inclusion => "the signed tree does not hold the leaf".into(),
            Self::Artefact => "the decision did not commit to this artefact".into(),
            Self::Other => "it speaks of another release than the decision".into(),
            Self::Votes => "the output was held, and these are not two approvals of it by two reviewers who may review it".into(),
            Self::VoteSignature => "a reviewer's signature does not hold".into(),
            Self::Terms => "the decision rests on other terms".into(),
            Self::Field(name) => format!("`{name}` is not what the other files say"),
            Self::Digest => "it is not the file that the manifest names".into(),
        }
    }

    /// In Chinese.
    pub fn zh(&self) -> String {
        match self {
            Self::TooLarge => "超过出域包大小上限".into(),
            Self::NoZip => "不是 zip 文件或文件不完整".into(),
            Self::Extra(name) => format!("出域包不应包含“{}”", name.escape_debug()),
            Self::Order => "重复或顺序不符".into(),
            Self::Missing => "缺失".into(),
            Self::Unwanted => "不应存在".into(),
            Self::Compressed => "使用了压缩；出域包只存储不压缩".into(),
            Self::Checksum => "内容与校验和不符".into(),
            Self::Header(Some(part)) => format!("{} 的文件头不是规范写法", part.file()),
            Self::Header(None) => "末尾目录不是规范写法".into(),
            Self::Form => "格式不符或不是规范写法".into(),
            Self::Log(_) => "日志签名无效".into(),
            Self::Witness(_) => "见证方联署无效".into(),
            Self::Leaf(Some(_)) => "存证条目无效".into(),
            Self::Leaf(None) => "存证条目的类型或位置不符".into(),
            Self::Opening => "与存证条目的承诺不符".into(),
            Self::Inclusion => "已签名的日志不包含该条目".into(),
            Self::Artefact => "与裁定所承诺的成果不符".into(),
            Self::Other => "与裁定不是同一次出域".into(),
            Self::Votes => "该输出曾暂扣，但缺少两名有权审核人的有效同意".into(),
            Self::VoteSignature => "审核人签名无效".into(),
            Self::Terms => "与裁定所依据的协议条款不符".into(),
            Self::Field(name) => format!("“{name}”与其他文件不一致"),
            Self::Digest => "与清单所列摘要不符".into(),
        }
    }
}
