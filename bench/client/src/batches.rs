//! librdkafka by its C functions, a thousand records a call: as little of the client as can be, so that the broker is seen behind it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::bindings::*;
use rdkafka::types::{RDKafkaConfRes, RDKafkaRespErr, RDKafkaType};

use crate::{Clock, Job, Result, Values};

const PATIENCE: Duration = Duration::from_secs(60);
/// Records a call.
const COUNT: usize = 1_000;
/// `RD_KAFKA_OFFSET_BEGINNING`.
const BEGINNING: i64 = -2;
/// The topic has one.
const PARTITION: i32 = 0;

static DELIVERED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);

/// A client with a topic. It lasts as long as the process.
struct Handle {
    client: *mut rd_kafka_t,
    topic: *mut rd_kafka_topic_t,
}

impl Handle {
    fn new(kind: RDKafkaType, job: &Job, settings: &[(&str, &str)]) -> Result<Handle> {
        let mut complaint = [0 as c_char; 512];
        let said = |complaint: &[c_char; 512]| -> String {
            // SAFETY: librdkafka ends what it says with 0, and it was all 0 before.
            unsafe { CStr::from_ptr(complaint.as_ptr()) }.to_string_lossy().into_owned()
        };
        // SAFETY: the functions are called as their documentation says, with texts that end with 0 and live as long as the calls, and with
        // what they returned themselves. The client owns the configuration once it is made.
        unsafe {
            let conf = rd_kafka_conf_new();
            for (name, value) in settings.iter().chain(&[("bootstrap.servers", job.bootstrap.as_str())]) {
                let (name, value) = (CString::new(*name)?, CString::new(*value)?);
                let (text, size) = (complaint.as_mut_ptr(), complaint.len());
                let set = rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), text, size);
                if set != RDKafkaConfRes::RD_KAFKA_CONF_OK {
                    return Err(said(&complaint).into());
                }
            }
            if kind == RDKafkaType::RD_KAFKA_PRODUCER {
                rd_kafka_conf_set_dr_msg_cb(conf, Some(delivered));
            }
            let client = rd_kafka_new(kind, conf, complaint.as_mut_ptr(), complaint.len());
            if client.is_null() {
                return Err(said(&complaint).into());
            }
            let name = CString::new(job.topic.as_str())?;
            let topic = rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut());
            if topic.is_null() {
                return Err("the topic cannot be used".into());
            }
            Ok(Handle { client, topic })
        }
    }
}

unsafe extern "C" fn delivered(_: *mut rd_kafka_t, message: *const rd_kafka_message_t, _: *mut c_void) {
    // SAFETY: librdkafka hands in a message that lives as long as the call.
    let error = unsafe { (*message).err };
    let count = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { &DELIVERED } else { &FAILED };
    count.fetch_add(1, Ordering::Relaxed);
}

fn empty() -> rd_kafka_message_t {
    // SAFETY: the structure is made of numbers and pointers, for which 0 is a value.
    unsafe { std::mem::zeroed() }
}

/// Each record's result is looked at.
pub fn produce(job: &Job) -> Result<(f64, f64)> {
    let settings = [("acks", "1"), ("queue.buffering.max.messages", "1000000")];
    let Handle { client, topic } = Handle::new(RDKafkaType::RD_KAFKA_PRODUCER, job, &settings)?;
    // They are not copied, and so must outlive the client.
    let values: &'static mut Values = Box::leak(Box::new(Values::new(job.size)));
    let mut send = |count: usize| -> Result<()> {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let value = values.value();
            let payload = value.as_ptr().cast_mut().cast();
            messages.push(rd_kafka_message_t { payload, len: value.len(), ..empty() });
        }
        while !messages.is_empty() {
            let length = c_int::try_from(messages.len())?;
            // SAFETY: the messages live as long as the call, and what they point to for ever.
            unsafe { rd_kafka_produce_batch(topic, PARTITION, 0, messages.as_mut_ptr(), length) };
            messages.retain(|message| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
            if let Some(message) =
                messages.iter().find(|message| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL)
            {
                return Err(format!("a record was refused: {:?}", message.err).into());
            }
            // SAFETY: the client lives.
            unsafe { rd_kafka_poll(client, if messages.is_empty() { 0 } else { 10 }) };
        }
        Ok(())
    };
    let flush = || -> Result<()> {
        // SAFETY: the client lives.
        let error = unsafe { rd_kafka_flush(client, c_int::try_from(PATIENCE.as_millis())?) };
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(())
        } else {
            Err(format!("{error:?}").into())
        }
    };
    // What it takes to connect is not counted.
    send(1)?;
    flush()?;
    let clock = Clock::start();
    let mut left = job.records.saturating_sub(1);
    while left > 0 {
        let count = left.min(COUNT);
        send(count)?;
        left -= count;
    }
    flush()?;
    let read = clock.read();
    match (DELIVERED.load(Ordering::Relaxed), FAILED.load(Ordering::Relaxed)) {
        (count, 0) if count == job.records => Ok(read),
        (count, failed) => Err(format!("{count} of {} delivered, {failed} failed", job.records).into()),
    }
}

/// Each record's offset and length are looked at.
pub fn consume(job: &Job) -> Result<(f64, f64)> {
    let Handle { client, topic } = Handle::new(RDKafkaType::RD_KAFKA_CONSUMER, job, &[])?;
    // SAFETY: client and topic live; the queue lasts as long as the process.
    let queue = unsafe {
        let queue = rd_kafka_queue_new(client);
        if rd_kafka_consume_start_queue(topic, PARTITION, BEGINNING, queue) != 0 {
            return Err("the partition cannot be consumed".into());
        }
        queue
    };
    let mut messages = [ptr::null_mut(); COUNT];
    let (mut next, mut clock) = (0, None);
    let deadline = Instant::now() + PATIENCE;
    while next < job.records {
        // SAFETY: the queue lives, and the messages have room for as many as are asked for.
        let count = unsafe { rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), COUNT) };
        for message in messages.iter().take(usize::try_from(count)?) {
            clock.get_or_insert_with(Clock::start);
            // SAFETY: librdkafka has put a message there, which is whole until it is destroyed, once.
            let (error, offset, length) = unsafe {
                let found = ((**message).err, (**message).offset, (**message).len);
                rd_kafka_message_destroy(*message);
                found
            };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(format!("{error:?} behind {next} records").into());
            }
            if (usize::try_from(offset)?, length) != (next, job.size) {
                return Err(format!("{length} bytes at offset {offset} where {next} comes next").into());
            }
            next += 1;
        }
        if Instant::now() > deadline {
            return Err(format!("{next} records of {}", job.records).into());
        }
    }
    Ok(clock.map(|clock| clock.read()).unwrap_or_default())
}
