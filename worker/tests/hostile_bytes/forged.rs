//! Parquet files written by hand, so that each number in them can lie. One column of optional `INT64`, one page of absent values.

/// Numbers of a file; [`Forged::of`] gives the honest ones.
#[derive(Clone)]
pub struct Forged {
    pub name: &'static str,
    /// Of the file and of its row group.
    pub rows: i64,
    /// Of the column's chunk.
    pub chunk_values: i64,
    /// Of the page.
    pub page_values: i64,
    /// What the page's header says of its length, decompressed and as it stands.
    pub plain_bytes: Option<i64>,
    pub stored_bytes: Option<i64>,
    /// 0 none, 1 Snappy, 2 gzip, 4 Brotli, 6 Zstandard, 7 LZ4.
    pub codec: i64,
    /// The page as it stands.
    pub page: Vec<u8>,
    /// Elements that the schema's list claims beside those that are there.
    pub more_elements: u64,
    /// Groups within groups above the column.
    pub nesting: usize,
    /// Entries of a dictionary page before the page, that claims so many bytes.
    pub dictionary: Option<(i64, i64)>,
    /// Row groups, all of the same page.
    pub groups: usize,
    /// Type that is written beside the page's decompressed length.
    pub plain_type: u8,
}

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
    fn open(&mut self) {
        self.last.push(0);
    }
    fn close(&mut self) {
        self.last.pop();
        self.bytes.push(0);
    }
    fn field(&mut self, id: u8, ty: u8) {
        let last = self.last.last_mut().unwrap();
        self.bytes.push((id - *last) << 4 | ty);
        *last = id;
    }
    fn number(&mut self, id: u8, ty: u8, value: i64) {
        self.field(id, ty);
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }
    fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }
    fn list(&mut self, id: u8, ty: u8, length: u64) {
        self.field(id, LIST);
        self.bytes.push(0xf0 | ty);
        self.varint(length);
    }
    fn within(&mut self, id: u8, write: impl FnOnce(&mut Self)) {
        self.field(id, STRUCT);
        self.open();
        write(self);
        self.close();
    }
}

/// Levels of `rows` absent values: one run.
pub fn absent(rows: u64) -> Vec<u8> {
    let mut run = Writer::default();
    run.varint(rows << 1);
    run.bytes.push(0);
    [&u32::try_from(run.bytes.len()).unwrap().to_le_bytes(), run.bytes.as_slice()].concat()
}

impl Forged {
    /// A sound file of `rows` absent values.
    pub fn of(name: &'static str, rows: i64) -> Self {
        let page = absent(rows.unsigned_abs());
        Self {
            name,
            rows,
            chunk_values: rows,
            page_values: rows,
            plain_bytes: None,
            stored_bytes: None,
            codec: 0,
            page,
            more_elements: 0,
            nesting: 0,
            dictionary: None,
            groups: 1,
            plain_type: I32,
        }
    }

    fn pages(&self) -> Vec<u8> {
        let mut w = Writer::default();
        if let Some((entries, claimed)) = self.dictionary {
            w.open();
            w.number(1, I32, 2);
            w.number(2, I32, claimed);
            w.number(3, I32, 8);
            w.within(7, |w| {
                w.number(1, I32, entries);
                w.number(2, I32, 0);
            });
            w.close();
            w.bytes.extend([0; 8]);
        }
        let length = self.page.len() as i64;
        w.open();
        w.number(1, I32, 0);
        w.number(2, self.plain_type, self.plain_bytes.unwrap_or(length));
        w.number(3, I32, self.stored_bytes.unwrap_or(length));
        w.within(5, |w| {
            w.number(1, I32, self.page_values);
            for id in 2..=4 {
                w.number(id, I32, if id == 2 { 0 } else { 3 });
            }
        });
        w.close();
        w.bytes.extend_from_slice(&self.page);
        w.bytes
    }

    fn schema(&self, w: &mut Writer) {
        w.list(2, STRUCT, 2 + self.nesting as u64 + self.more_elements);
        for depth in 0..=self.nesting {
            w.open();
            if depth > 0 {
                w.number(3, I32, 0);
            }
            w.text(4, "n");
            w.number(5, I32, 1);
            w.close();
        }
        w.open();
        w.number(1, I32, 2);
        w.number(3, I32, 1);
        w.text(4, "n");
        w.close();
    }

    fn group(&self, w: &mut Writer, bytes: i64) {
        w.open();
        w.list(1, STRUCT, 1);
        w.open();
        w.number(2, I64, 4);
        w.within(3, |w| {
            w.number(1, I32, 2);
            w.list(2, I32, 1);
            w.varint(0);
            w.list(3, BINARY, 1 + self.nesting as u64);
            for _ in 0..=self.nesting {
                w.varint(1);
                w.bytes.push(b'n');
            }
            w.number(4, I32, self.codec);
            w.number(5, I64, self.chunk_values);
            w.number(6, I64, bytes);
            w.number(7, I64, bytes);
            w.number(9, I64, 4);
        });
        w.close();
        w.number(2, I64, bytes);
        w.number(3, I64, self.rows);
        w.close();
    }

    pub fn bytes(&self) -> Vec<u8> {
        let pages = self.pages();
        let mut w = Writer::default();
        w.open();
        w.number(1, I32, 1);
        self.schema(&mut w);
        w.number(3, I64, self.rows);
        w.list(4, STRUCT, self.groups as u64);
        for _ in 0..self.groups {
            self.group(&mut w, pages.len() as i64);
        }
        w.close();
        let length = u32::try_from(w.bytes.len()).unwrap().to_le_bytes();
        [&b"PAR1"[..], &pages, &w.bytes, &length, b"PAR1"].concat()
    }
}
