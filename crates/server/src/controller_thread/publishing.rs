//! The thread that hands new metadata images to whoever acts on them, and then lets go of the answers that wait for that
//! (`MetadataLoader`'s event queue). What a change brings may take long, such as the logs of thousands of new partitions:
//! heartbeats, elections and the metadata log do not wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use controller::snapshot_records;
use metadata::{LoaderUpdate, MetadataDelta, MetadataImage};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::handle::Work;
use crate::error::ServerError;

/// Learns of each new image, before the answer to whoever caused it.
pub(crate) type Publisher = Box<dyn FnMut(&MetadataDelta, &MetadataImage) + Send>;

/// Images that wait, before those that follow become one: publishers then go from the image before them to the newest one.
const WAITING_AT_MOST: usize = 64;

/// What is done in order.
enum Publication {
    /// A new image.
    Update(Box<LoaderUpdate>),
    /// The newest of many images.
    CatchUp(Box<MetadataImage>),
    /// One more who learns of images; first of this one, as a change from nothing.
    Publisher { publisher: Publisher, image: MetadataImage, told: oneshot::Sender<()> },
    /// An answer to what caused the images before it.
    Release(Box<dyn FnOnce() + Send>),
}

/// What is to be done.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Publication>,
    /// Of those that wait: the images.
    images: usize,
    ended: bool,
}

impl Queue {
    /// **Invariant:** no more than [`WAITING_AT_MOST`] images wait, one more for each publisher that comes meanwhile. The answers
    /// between them are as many as there are requests under way.
    fn push_update(&mut self, update: Box<LoaderUpdate>) {
        if self.images < WAITING_AT_MOST {
            self.images += 1;
            self.waiting.push_back(Publication::Update(update));
            return;
        }
        // The answers behind the image that it takes the place of wait for more than they have to. A publisher that comes later is
        // not told of an image that is newer than its first.
        let newest = self.waiting.iter_mut().rev();
        let newest = newest
            .take_while(|waiting| !matches!(waiting, Publication::Publisher { .. }))
            .find(|waiting| matches!(waiting, Publication::Update(_) | Publication::CatchUp(_)));
        let publication = Publication::CatchUp(Box::new(update.image));
        match newest {
            Some(newest) => *newest = publication,
            None => {
                self.images += 1;
                self.waiting.push_back(publication);
            }
        }
    }

    fn pop(&mut self) -> Option<Publication> {
        let next = self.waiting.pop_front();
        if matches!(next, Some(Publication::Update(_) | Publication::CatchUp(_))) {
            self.images -= 1;
        }
        next
    }
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Shared {
    /// The next thing to do; nothing when all is done and nothing more will come.
    fn next(&self) -> Option<Publication> {
        let mut queue = self.queue.lock();
        loop {
            match queue.pop() {
                Some(next) => return Some(next),
                None if queue.ended => return None,
                None => self.more.wait(&mut queue),
            }
        }
    }
}

/// The way to the thread. Dropped, it waits until all is published.
pub(super) struct Publishing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Publishing {
    /// Begins the thread. `faults` learns why it ended, where it was not told to.
    pub(super) fn begin(faults: Sender<Work>) -> Result<Publishing, ServerError> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("publishing".to_owned()).spawn(move || {
            // A panic here is a broken invariant: a node that does not follow its metadata must not go on.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(&of_thread)));
            if let Err(error) = served.unwrap_or(Err(ServerError::ControllerStopped)) {
                // The metadata's thread may have ended already.
                drop(faults.send(Work::Fault(error)));
            }
        });
        let thread = thread.map_err(|error| ServerError::Io("no thread for new metadata", error))?;
        Ok(Publishing { shared, thread: Some(thread) })
    }

    /// A new image.
    pub(super) fn publish(&self, update: Box<LoaderUpdate>) {
        self.change(|queue| queue.push_update(update));
    }

    /// From now on `publisher` learns of every image; `told` when it has learned of this one.
    pub(super) fn add(&self, publisher: Publisher, image: MetadataImage, told: oneshot::Sender<()>) {
        self.send(Publication::Publisher { publisher, image, told });
    }

    /// Runs `release` behind all that was handed in so far.
    pub(super) fn release(&self, release: impl FnOnce() + Send + 'static) {
        self.send(Publication::Release(Box::new(release)));
    }

    fn send(&self, publication: Publication) {
        self.change(|queue| queue.waiting.push_back(publication));
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.shared.queue.lock());
        self.shared.more.notify_one();
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.change(|queue| queue.ended = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of new metadata has panicked");
        }
    }
}

fn serve(shared: &Shared) -> Result<(), ServerError> {
    let mut publishers: Vec<Publisher> = Vec::new();
    let mut published = MetadataImage::empty();
    while let Some(publication) = shared.next() {
        match publication {
            Publication::Update(update) => {
                for publisher in &mut publishers {
                    publisher(&update.delta, &update.image);
                }
                published = update.image;
            }
            Publication::CatchUp(image) => {
                let delta = between(&published, &image)?;
                for publisher in &mut publishers {
                    publisher(&delta, &image);
                }
                published = *image;
            }
            Publication::Publisher { mut publisher, image, told } => {
                publisher(&between(&MetadataImage::empty(), &image)?, &image);
                publishers.push(publisher);
                // Whoever installed it may be gone; it stays.
                let _ = told.send(());
            }
            Publication::Release(release) => release(),
        }
    }
    Ok(())
}

/// What has changed from one image to another.
fn between(before: &MetadataImage, after: &MetadataImage) -> Result<MetadataDelta, ServerError> {
    let mut delta = MetadataDelta::new(before);
    for (record, _) in snapshot_records(after)? {
        delta.replay(&record).map_err(|error| ServerError::Replay(error.to_string()))?;
    }
    delta.finish_snapshot();
    Ok(delta)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use common::Uuid;
    use metadata::{CommittedBatch, MetadataLoader, MetadataVersion};
    use protocol::MetadataRecord;
    use protocol::messages::{FeatureLevelRecord, RemoveTopicRecord, TopicRecord};

    use super::*;

    fn commit(loader: &mut MetadataLoader, offset: i64, records: &[MetadataRecord]) -> Box<LoaderUpdate> {
        let batch = CommittedBatch {
            base_offset: offset,
            last_offset: offset + records.len() as i64 - 1,
            epoch: 1,
            append_timestamp_ms: 0,
            size_in_bytes: 1,
            records,
        };
        Box::new(loader.load_commit(&[batch]).unwrap().remove(0))
    }

    fn topic(number: i64) -> MetadataRecord {
        let topic_id = Uuid::from_u128(1 + number as u128);
        TopicRecord { name: format!("t{number}"), topic_id }.into()
    }

    #[test]
    fn a_publisher_that_is_slow_is_told_of_the_newest_image() {
        const TOPICS: i64 = 500;
        let (faults, _) = mpsc::channel();
        let publishing = Publishing::begin(faults).unwrap();
        let (entered, in_publisher) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        let (seen, images) = mpsc::channel();
        let publisher = Box::new(move |delta: &MetadataDelta, image: &MetadataImage| {
            entered.send(()).unwrap();
            // Held at the first change until all are there; from then on it is let through.
            let _ = gate.recv();
            let deleted = delta.topics_delta().map_or(0, |topics| topics.deleted_topic_ids.len());
            seen.send((image.topics.len(), deleted)).unwrap();
        });
        let mut loader = MetadataLoader::new();
        publishing.add(publisher, loader.image().clone(), oneshot::channel().0);
        in_publisher.recv().unwrap();
        let level = MetadataVersion::LATEST_PRODUCTION.feature_level();
        let version = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: level };
        publishing.publish(commit(&mut loader, 0, &[version.into()]));
        let (answered, answers) = mpsc::channel();
        for number in 0..TOPICS {
            publishing.publish(commit(&mut loader, 1 + number, &[topic(number)]));
            let answered = answered.clone();
            publishing.release(move || answered.send(number).unwrap());
        }
        // The first that was told of goes again.
        let topic_id = Uuid::from_u128(1);
        let removed = RemoveTopicRecord { topic_id };
        publishing.publish(commit(&mut loader, 1 + TOPICS, &[removed.into()]));
        assert!(publishing.shared.queue.lock().images <= WAITING_AT_MOST);
        drop(go_on);
        drop(publishing);
        let seen: Vec<_> = images.iter().collect();
        assert!(seen.len() <= WAITING_AT_MOST + 1, "{}", seen.len());
        assert_eq!(seen.last(), Some(&(TOPICS as usize - 1, 1)));
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), (0..TOPICS).collect::<Vec<_>>());
    }
}
