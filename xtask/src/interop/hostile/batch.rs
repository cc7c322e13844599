//! Record batches that lie, with a right CRC, and compressed ones that are larger inside than outside.

use crate::interop::wire::{crc32c, varint};
use std::path::Path;
use std::process::Command;

/// A batch whose every word can be made wrong.
#[derive(Clone)]
pub struct Batch {
    pub base_offset: i64,
    /// Added to the true length.
    pub length_lie: i32,
    pub magic: u8,
    /// Mixed into the true CRC.
    pub crc_lie: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
    pub records: Vec<u8>,
}

impl Batch {
    /// An honest batch of one record.
    pub fn honest() -> Batch {
        Batch {
            base_offset: 0,
            length_lie: 0,
            magic: 2,
            crc_lie: 0,
            attributes: 0,
            last_offset_delta: 0,
            timestamp: 1_700_000_000_000,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 1,
            records: record(0, b"honest"),
        }
    }

    /// The same, of this moment: retention leaves it alone.
    pub fn now() -> Batch {
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis());
        Batch { timestamp: i64::try_from(now).unwrap_or(0), ..Batch::honest() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut tail = Vec::new();
        tail.extend(self.attributes.to_be_bytes());
        tail.extend(self.last_offset_delta.to_be_bytes());
        tail.extend(self.timestamp.to_be_bytes());
        tail.extend(self.timestamp.to_be_bytes());
        tail.extend(self.producer_id.to_be_bytes());
        tail.extend(self.producer_epoch.to_be_bytes());
        tail.extend(self.base_sequence.to_be_bytes());
        tail.extend(self.count.to_be_bytes());
        tail.extend(&self.records);
        let length = i32::try_from(tail.len() + 9).unwrap_or(i32::MAX).wrapping_add(self.length_lie);
        let mut bytes = self.base_offset.to_be_bytes().to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend((-1_i32).to_be_bytes());
        bytes.push(self.magic);
        bytes.extend((crc32c(&tail) ^ self.crc_lie).to_be_bytes());
        bytes.extend(tail);
        bytes
    }
}

/// A record with a value and neither key nor headers.
pub fn record(offset_delta: i64, value: &[u8]) -> Vec<u8> {
    let body = [
        &[0][..],
        &varint(0),
        &varint(offset_delta),
        &varint(-1),
        &varint(value.len() as i64),
        value,
        &varint(0),
    ]
    .concat();
    [varint(body.len() as i64), body].concat()
}

/// What stands before the value of a record of `size` zeros. A zero after them is the count of its headers.
fn zeros_head(size: usize) -> Vec<u8> {
    let inner = [&[0][..], &varint(0), &varint(0), &varint(-1), &varint(size as i64)].concat();
    [varint((inner.len() + size + 1) as i64), inner].concat()
}

/// Batches with something wrong in them, and what Apache Kafka 4.4 answers: CORRUPT_MESSAGE (2) or INVALID_RECORD (87).
/// Where it trips over itself (UNKNOWN_SERVER_ERROR) or does not look (a record's offset), INVALID_RECORD is as good.
pub fn lies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let honest = Batch::honest();
    let with = |change: &dyn Fn(&mut Batch)| {
        let mut batch = honest.clone();
        change(&mut batch);
        batch.bytes()
    };
    let body = |bytes: &[u8]| with(&|batch: &mut Batch| batch.records = bytes.to_vec());
    let mut cut = honest.bytes();
    cut.truncate(40);
    let two = [honest.bytes(), honest.bytes()].concat();
    let [mut long, mut negative] = [record(0, b"honest"), record(0, b"honest")];
    long[0] = 0x7e;
    negative[0] = 1;
    vec![
        ("an honest batch", honest.bytes(), "error 0"),
        ("a wrong CRC", with(&|batch| batch.crc_lie = 1), "error 2"),
        ("magic 3", with(&|batch| batch.magic = 3), "error 2"),
        ("magic 0", with(&|batch| batch.magic = 0), "error 87"),
        ("magic 255", with(&|batch| batch.magic = 255), "error 2"),
        ("no batch", Vec::new(), "error 87"),
        ("two batches", two, "error 87"),
        ("a batch cut after 40 bytes", cut, "error 87"),
        ("a length of one more", with(&|batch| batch.length_lie = 1), "error 87"),
        ("a length of one less", with(&|batch| batch.length_lie = -1), "error 2"),
        ("a length below a header", with(&|batch| batch.length_lie = -60), "error 2"),
        ("a negative length", with(&|batch| batch.length_lie = i32::MIN), "error 2"),
        ("the largest length", with(&|batch| batch.length_lie = i32::MAX - 100), "error 87"),
        ("no records by its count", with(&|batch| batch.count = 0), "error 87"),
        ("a negative count", with(&|batch| batch.count = -1), "error 87"),
        ("two records by its count", with(&|batch| batch.count = 2), "error 87"),
        (
            "two billion records by its count",
            with(&|batch| (batch.count, batch.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
            "error 87",
        ),
        ("a last offset of 5", with(&|batch| batch.last_offset_delta = 5), "error 87"),
        ("a negative last offset", with(&|batch| batch.last_offset_delta = -1), "error 87"),
        ("a record at offset 7", body(&record(7, b"honest")), "error 0 or error 87"),
        ("a record longer than the batch", body(&long), "error 87"),
        ("a record of a negative length", body(&negative), "error 87"),
        ("a value longer than its record", body(&[&[14, 0, 0, 0, 1, 126][..], b"ab"].concat()), "error 87"),
        (
            "two billion headers",
            body(&[&[0x16, 0, 0, 0, 1, 0][..], &varint(2_000_000_000)].concat()),
            "error 87",
        ),
        ("a varint without an end", body(&[0xff; 12]), "error -1 or error 87"),
        ("bytes behind the last record", body(&[record(0, b"honest"), vec![0; 5]].concat()), "error 87"),
        ("a control batch", with(&|batch| batch.attributes = 0x20), "error 87"),
        ("codec 7", with(&|batch| batch.attributes = 7), "error -1 or error 87"),
        ("gzip that is none", with(&|batch| batch.attributes = 1), "error -1 or error 87"),
        ("snappy that is none", with(&|batch| batch.attributes = 2), "error -1 or error 87"),
        ("lz4 that is none", with(&|batch| batch.attributes = 3), "error -1 or error 87"),
        ("zstd that is none", with(&|batch| batch.attributes = 4), "error -1 or error 87"),
        (
            "a sequence out of order",
            with(&|batch| (batch.producer_id, batch.producer_epoch, batch.base_sequence) = (4711, 0, 9)),
            "any",
        ),
        (
            "a producer without a sequence",
            with(&|batch| (batch.producer_id, batch.producer_epoch) = (4711, 0)),
            "error 87",
        ),
    ]
}

/// Compressed batches of hundreds of megabytes of zeros, and compressed lengths that lie.
pub fn bombs(dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let compressed =
        |codec: i16, records: Vec<u8>| Batch { attributes: codec, records, ..Batch::honest() }.bytes();
    let xerial = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff"[..], &[0; 40]].concat();
    Ok(vec![
        ("zstd: 1 GiB of zeros", compressed(4, zstd(1 << 30))),
        ("lz4: 200 MiB of zeros", compressed(3, lz4(200 << 20))),
        ("gzip: 512 MiB of zeros", compressed(1, gzip(dir, 512 << 20)?)),
        (
            "snappy: 4 GiB by its first bytes",
            compressed(2, [&[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..], &[0; 20]].concat()),
        ),
        ("snappy: a block of 2 GiB by its length", compressed(2, xerial)),
        ("zstd: a window of 3 TiB", compressed(4, b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00".to_vec())),
    ])
}

/// A zstd frame: the record's head as it is, then blocks that repeat one byte.
fn zstd(size: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let head = zeros_head(size);
    let block =
        |last: usize, kind: usize, size: usize| (last | kind << 1 | size << 3).to_le_bytes()[..3].to_vec();
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x50".to_vec();
    frame.extend(block(0, 0, head.len()));
    frame.extend(&head);
    for _ in 0..size / BLOCK {
        frame.extend(block(0, 1, BLOCK));
        frame.push(0);
    }
    frame.extend(block(1, 1, 1));
    frame.push(0);
    frame
}

/// An lz4 frame: the record's head as it is, then blocks of 4 MiB, each one match of its first byte.
fn lz4(size: usize) -> Vec<u8> {
    const BLOCK: usize = 4 << 20;
    let head = zeros_head(size);
    // One literal, a match of everything but the last five bytes at distance 1, five literals: as the format wants it.
    let matched = BLOCK - 6 - 4 - 15;
    let mut block = vec![0x1f, 0, 1, 0];
    block.extend(std::iter::repeat_n(255, matched / 255));
    block.push(u8::try_from(matched % 255).unwrap_or(0));
    block.extend([0x50, 0, 0, 0, 0, 0]);
    let length = |length: usize| u32::try_from(length).unwrap_or(0);
    let mut frame = b"\x04\x22\x4d\x18\x60\x70\x73".to_vec();
    frame.extend((length(head.len()) | 1 << 31).to_le_bytes());
    frame.extend(&head);
    for _ in 0..size / BLOCK {
        frame.extend(length(block.len()).to_le_bytes());
        frame.extend(&block);
    }
    frame.extend((1_u32 | 1 << 31).to_le_bytes());
    frame.push(0);
    frame.extend([0; 4]);
    frame
}

/// By the program of that name: deflate is no format to write by hand.
fn gzip(dir: &Path, size: usize) -> Result<Vec<u8>, String> {
    let (head, out) = (dir.join("head.bin"), dir.join("bomb.gz"));
    crate::project::write(&head, zeros_head(size))?;
    let script = format!(
        "{{ cat '{}'; head -c {} /dev/zero; }} | gzip -9 > '{}'",
        head.display(),
        size + 1,
        out.display()
    );
    crate::project::finish(Command::new("bash").args(["-c", &script]))?;
    std::fs::read(&out).map_err(|error| error.to_string())
}
