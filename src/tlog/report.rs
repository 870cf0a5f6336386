//! What a verification found, in words: English by `Display`, Chinese by [`Report::zh`].

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    leaf::LeafError,
    note::NoteError,
};
use serde::Serialize;
use std::fmt;

/// The result of [`super::verify()`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The directory's checkpoint, once its signature held.
    pub checkpoint: Option<Checkpoint>,
    /// Files listed.
    pub files: usize,
    /// Leaves whose hash was recomputed.
    pub leaves: u64,
    /// Signature lines on the checkpoint by other keys, which were not checked.
    pub unknown_signatures: usize,
    /// What the remembered checkpoint showed.
    pub remembered: Remembered,
    /// The first thing wrong.
    pub fault: Option<Fault>,
}

/// What a remembered checkpoint showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// None was given: a log cut short or forked would pass.
    NotGiven,
    /// A fault was found before it came to it.
    NotReached,
    /// The log begins with the tree that was remembered.
    Extends {
        /// Its leaves.
        size: u64,
    },
    /// The log does not.
    Contradicts {
        /// Its leaves.
        size: u64,
    },
}

/// One thing wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path in the log directory.
    pub file: Option<String>,
    /// Number of the leaf, where it is about one.
    pub leaf: Option<u64>,
    /// What is wrong.
    pub cause: Cause,
}

/// Why a log is not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The file or directory cannot be read, or is larger than any file of a log.
    Unreadable,
    /// A file the tree needs is not there.
    Missing,
    /// A file no tree of this size has.
    Extra,
    /// The directory's checkpoint.
    CheckpointInvalid(CheckpointError),
    /// The remembered checkpoint.
    RememberedInvalid(CheckpointError),
    /// The remembered checkpoint has more leaves.
    Truncated {
        /// Leaves remembered.
        remembered: u64,
        /// Leaves now.
        size: u64,
    },
    /// The first leaves are not those remembered.
    Forked {
        /// Leaves remembered.
        remembered: u64,
    },
    /// A bundle or tile is cut, too long, or not of the form.
    Form,
    /// An entry is not a leaf.
    Leaf(LeafError),
    /// A leaf bears another number than its place.
    Number,
    /// A leaf lies before its predecessor in time.
    Time,
    /// The entry does not hash to what its tile and the checkpoint say.
    EntryAltered,
    /// The tile does not hold what the entries hash to.
    TileAltered,
    /// An older partial file is not a beginning of the present one.
    PartialAltered,
    /// Entries and tiles agree with each other, but not with the signed root.
    Root,
}

impl Cause {
    /// In English.
    pub fn en(&self) -> String {
        match self {
            Self::Unreadable => "it cannot be read, or is too large for a file of a log".into(),
            Self::Missing => "the file is missing".into(),
            Self::Extra => "no file of this name belongs to a log of this size".into(),
            Self::CheckpointInvalid(e) => format!("the checkpoint does not hold: {}", checkpoint_text(*e).0),
            Self::RememberedInvalid(e) => format!("the remembered checkpoint does not hold: {}", checkpoint_text(*e).0),
            Self::Truncated { remembered, size } => {
                format!("the log is truncated: it has {size} leaves, {remembered} are remembered")
            }
            Self::Forked { remembered } => format!("the log is forked: its first {remembered} leaves are not those remembered"),
            Self::Form => "the file is cut short, too long, or not of the form".into(),
            Self::Leaf(e) => leaf_text(*e).0.into(),
            Self::Number => "the leaf bears another number than its place".into(),
            Self::Time => "the leaf lies before its predecessor in time".into(),
            Self::EntryAltered => "the entry does not hash to what was logged".into(),
            Self::TileAltered => "the tile does not hold what the entries hash to".into(),
            Self::PartialAltered => "the older partial file is not a beginning of the present one".into(),
            Self::Root => "entries and tiles do not have the signed root".into(),
        }
    }

    /// In Chinese.
    pub fn zh(&self) -> String {
        match self {
            Self::Unreadable => "无法读取，或超过日志文件大小上限".into(),
            Self::Missing => "文件缺失".into(),
            Self::Extra => "该规模的日志不应包含此文件".into(),
            Self::CheckpointInvalid(e) => format!("检查点无效：{}", checkpoint_text(*e).1),
            Self::RememberedInvalid(e) => format!("留存的检查点无效：{}", checkpoint_text(*e).1),
            Self::Truncated { remembered, size } => format!("日志被截断：现有 {size} 条，留存记录为 {remembered} 条"),
            Self::Forked { remembered } => format!("日志被分叉：前 {remembered} 条与留存记录不符"),
            Self::Form => "文件不完整、过长或格式不符".into(),
            Self::Leaf(e) => leaf_text(*e).1.into(),
            Self::Number => "条目编号与其位置不符".into(),
            Self::Time => "条目时间早于前一条".into(),
            Self::EntryAltered => "条目哈希与记录不符".into(),
            Self::TileAltered => "哈希块与条目计算结果不符".into(),
            Self::PartialAltered => "旧的部分文件不是现有文件的前缀".into(),
            Self::Root => "条目与哈希块的根哈希与签名不符".into(),
        }
    }
}

/// English and Chinese.
fn checkpoint_text(error: CheckpointError) -> (&'static str, &'static str) {
    match error {
        CheckpointError::Malformed => ("it is not an origin, a size and a root", "内容不是日志标识、规模与根哈希"),
        CheckpointError::Origin => ("its origin is not the name of the key", "日志标识与密钥名称不符"),
        CheckpointError::Note(NoteError::Unsigned) => ("no signature is by the given key", "没有给定密钥的签名"),
        CheckpointError::Note(NoteError::Signature) => ("the signature is wrong", "签名错误"),
        CheckpointError::Note(NoteError::Malformed | NoteError::Name | NoteError::Key) => ("it is not a signed note", "不是签名文本"),
    }
}

/// English and Chinese.
fn leaf_text(error: LeafError) -> (&'static str, &'static str) {
    match error {
        LeafError::Length => ("the entry has not the length of a leaf", "条目长度不符"),
        LeafError::Version => ("the version of the leaf is unknown", "条目版本未知"),
        LeafError::Kind => ("the kind of the leaf is unknown", "条目类型未知"),
        LeafError::Reserved => ("the reserved bytes of the leaf are not zero", "条目保留字节不为零"),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.escape_debug())?;
        }
        if let Some(leaf) = self.leaf {
            write!(f, "leaf {leaf}: ")?;
        }
        f.write_str(&self.cause.en())
    }
}

impl Fault {
    /// In Chinese.
    pub fn zh(&self) -> String {
        let file = self.file.as_ref().map(|file| format!("{}：", file.escape_debug())).unwrap_or_default();
        let leaf = self.leaf.map(|leaf| format!("第 {leaf} 条：")).unwrap_or_default();
        format!("{file}{leaf}{}", self.cause.zh())
    }
}

impl Report {
    /// Whether nothing wrong was found. What was not looked for, `remembered` and `unknown_signatures` say.
    pub fn is_sound(&self) -> bool {
        self.fault.is_none()
    }

    /// In Chinese.
    pub fn zh(&self) -> String {
        let mut lines = match (&self.fault, &self.checkpoint) {
            (None, Some(c)) => vec![
                format!("日志 {} 完好：{} 条，{} 个文件，根哈希 {}。", c.origin, c.size, self.files, c.root),
                "已重算全部哈希并验证检查点签名。".into(),
            ],
            (Some(fault), _) => vec![format!("日志有问题。首个问题：{}。", fault.zh())],
            (None, None) => vec!["未检查任何内容。".into()],
        };
        lines.push(match self.remembered {
            Remembered::NotGiven => "未提供留存的检查点：未检查截断与分叉。".into(),
            Remembered::NotReached => "因上述问题，未检查截断与分叉。".into(),
            Remembered::Extends { size } => format!("前 {size} 条与留存的检查点一致，未见截断或分叉；其后的截断无法据此发现。"),
            Remembered::Contradicts { size } => format!("与留存的检查点（{size} 条）矛盾。"),
        });
        if self.unknown_signatures > 0 {
            lines.push(format!("检查点另有 {} 个其他密钥的签名，未验证。", self.unknown_signatures));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.fault, &self.checkpoint) {
            (None, Some(c)) => {
                writeln!(f, "The log {} is sound: {} leaves, {} files, root {}.", c.origin, c.size, self.files, c.root)?;
                writeln!(f, "Every hash was recomputed and the checkpoint's signature verified.")?;
            }
            (Some(fault), _) => writeln!(f, "The log is NOT sound. The first fault: {fault}.")?,
            (None, None) => writeln!(f, "Nothing was checked.")?,
        }
        match self.remembered {
            Remembered::NotGiven => f.write_str("No remembered checkpoint was given: truncation and forks were not checked.")?,
            Remembered::NotReached => f.write_str("Because of this fault truncation and forks were not checked.")?,
            Remembered::Extends { size } => write!(
                f,
                "Its first {size} leaves are those of the remembered checkpoint: neither truncated nor forked up to there. \
                 A cut beyond them cannot be seen from it."
            )?,
            Remembered::Contradicts { size } => write!(f, "It contradicts the remembered checkpoint of {size} leaves.")?,
        }
        if self.unknown_signatures > 0 {
            write!(f, "\n{} signatures of the checkpoint are by other keys and were not verified.", self.unknown_signatures)?;
        }
        Ok(())
    }
}
