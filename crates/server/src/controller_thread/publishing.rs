//! The thread that hands new metadata images to whoever acts on them, and then lets go of the answers that wait for that
//! (`MetadataLoader`'s event queue). What a change brings may take long, such as the logs of thousands of new partitions:
//! heartbeats, elections and the metadata log do not wait for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use controller::snapshot_records;
use metadata::{LoaderUpdate, MetadataDelta, MetadataImage};
use tokio::sync::oneshot;

use super::handle::Work;
use crate::error::ServerError;

/// Learns of each new image, before the answer to whoever caused it.
pub(crate) type Publisher = Box<dyn FnMut(&MetadataDelta, &MetadataImage) + Send>;

/// What is done in order.
enum Publication {
    /// A new image.
    Update(Box<LoaderUpdate>),
    /// One more who learns of images; first of this one, as a change from nothing.
    Publisher { publisher: Publisher, image: MetadataImage, told: oneshot::Sender<()> },
    /// An answer to what caused the images before it.
    Release(Box<dyn FnOnce() + Send>),
}

/// The way to the thread. Dropped, it waits until all is published.
pub(super) struct Publishing {
    sender: Option<Sender<Publication>>,
    thread: Option<JoinHandle<()>>,
}

impl Publishing {
    /// Begins the thread. `faults` learns why it ended, where it was not told to.
    pub(super) fn begin(faults: Sender<Work>) -> Result<Publishing, ServerError> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("publishing".to_owned()).spawn(move || {
            // A panic here is a broken invariant: a node that does not follow its metadata must not go on.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(&receiver)));
            if let Err(error) = served.unwrap_or(Err(ServerError::ControllerStopped)) {
                // The metadata's thread may have ended already.
                drop(faults.send(Work::Fault(error)));
            }
        });
        let thread = thread.map_err(|error| ServerError::Io("no thread for new metadata", error))?;
        Ok(Publishing { sender: Some(sender), thread: Some(thread) })
    }

    /// A new image.
    pub(super) fn publish(&self, update: Box<LoaderUpdate>) {
        self.send(Publication::Update(update));
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
        if let Some(sender) = &self.sender {
            // A thread that is gone has told why.
            drop(sender.send(publication));
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of new metadata has panicked");
        }
    }
}

fn serve(receiver: &Receiver<Publication>) -> Result<(), ServerError> {
    let mut publishers: Vec<Publisher> = Vec::new();
    while let Ok(publication) = receiver.recv() {
        match publication {
            Publication::Update(update) => {
                for publisher in &mut publishers {
                    publisher(&update.delta, &update.image);
                }
            }
            Publication::Publisher { mut publisher, image, told } => {
                let mut delta = MetadataDelta::new(&MetadataImage::empty());
                for (record, _) in snapshot_records(&image)? {
                    delta.replay(&record).map_err(|error| ServerError::Replay(error.to_string()))?;
                }
                publisher(&delta, &image);
                publishers.push(publisher);
                // Whoever installed it may be gone; it stays.
                let _ = told.send(());
            }
            Publication::Release(release) => release(),
        }
    }
    Ok(())
}
