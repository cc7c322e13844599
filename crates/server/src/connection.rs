//! One client's connection: reads a request's head, finds its handler, and says no where Kafka says no.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use network::{ConnectionInfo, Handled, Outbox, Service, ServiceConnection};
use protocol::{ApiKey, DecodeError, Reader};

use crate::apis::{self, ListenerKind};
use crate::broker::Broker;
use crate::broker_watch;
use crate::controller_server::ControllerServer;
use crate::handlers;
use crate::handlers::api_versions::{self, About};
use crate::metrics::Metrics;
use crate::request::{BadRequest, Client, Head, Request, Session};

/// Who serves a listener's connections.
#[derive(Clone)]
pub(crate) enum Server {
    /// A broker: clients, and other brokers.
    Broker(Arc<Broker>),
    /// A controller: brokers, other controllers, and tools.
    Controller(Arc<ControllerServer>),
}

impl Server {
    fn kind(&self) -> ListenerKind {
        match self {
            Server::Broker(_) => ListenerKind::Broker,
            Server::Controller(_) => ListenerKind::Controller,
        }
    }

    fn metrics(&self) -> Option<&Arc<Metrics>> {
        match self {
            Server::Broker(broker) => broker.metrics.as_ref(),
            Server::Controller(controller) => controller.metrics.as_ref(),
        }
    }

    fn about(&self) -> About<'_> {
        match self {
            Server::Broker(broker) => About::broker(broker),
            Server::Controller(controller) => About::controller(controller),
        }
    }
}

/// One connection.
pub(crate) struct ClientConnection {
    server: Server,
    info: Arc<ConnectionInfo>,
    session: Session,
}

impl Service for Server {
    type Connection = ClientConnection;

    fn connect(&self, info: ConnectionInfo) -> ClientConnection {
        ClientConnection { server: self.clone(), info: Arc::new(info), session: Session::default() }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        match &self.server {
            Server::Controller(controller) => broker_watch::connection_ended(controller, &self.info),
            Server::Broker(broker) => {
                if let Some(id) = self.session.client_instance_id.get() {
                    broker.client_metrics.forget(*id);
                    if let Some(metrics) = &broker.metrics {
                        metrics.pushed.forget(*id);
                    }
                }
            }
        }
    }
}

impl ServiceConnection for ClientConnection {
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled {
        let Some(metrics) = self.server.metrics() else { return self.served(frame, out) };
        let (began, answers) = (Instant::now(), out.len());
        let handled = self.served(frame, out);
        // A frame without a key was no request.
        let Some(api) = frame.first_chunk().map(|key| i16::from_be_bytes(*key)) else { return handled };
        counted(metrics, api, &[frame], began, handled, out.len().saturating_sub(answers))
    }

    fn handle_together(&mut self, frames: &[&[u8]], out: &mut Outbox) -> (usize, Handled) {
        let (began, answers) = (Instant::now(), out.len());
        let Some((count, served)) = self.serve_together(frames, out) else {
            return (1, self.handle(frames.first().copied().unwrap_or_default(), out));
        };
        let handled = self.or_closed(served);
        let Some(metrics) = self.server.metrics() else { return (count, handled) };
        let answered = out.len().saturating_sub(answers);
        (count, counted(metrics, ApiKey::Produce.code(), &frames[..count], began, handled, answered))
    }
}

/// Counts requests of one API that were served together, or one: each took its share of the time on the thread and of the answers'
/// bytes, and came back with the others. `answered` are the bytes of those that came at once.
fn counted(
    metrics: &Arc<Metrics>,
    api: i16,
    frames: &[&[u8]],
    began: Instant,
    handled: Handled,
    answered: usize,
) -> Handled {
    if let Handled::Again(_) = handled {
        return handled;
    }
    let (count, took) = (frames.len(), began.elapsed());
    for frame in frames {
        metrics.requests.handled(api, frame.len(), took / count as u32);
    }
    let count_answers = move |metrics: &Metrics, bytes: usize, took| {
        for _ in 0..count {
            metrics.requests.answered(api, bytes / count, took);
        }
    };
    if let Handled::Later(answer) = handled {
        let metrics = Arc::clone(metrics);
        return Handled::Later(Box::pin(async move {
            let out = answer.await;
            count_answers(&metrics, out.len(), began.elapsed());
            out
        }));
    }
    count_answers(metrics, answered, took);
    handled
}

impl ClientConnection {
    fn served(&self, frame: &[u8], out: &mut Outbox) -> Handled {
        self.or_closed(self.serve(frame, out))
    }

    /// A request to which there is nothing to say ends the connection.
    fn or_closed(&self, served: Result<Handled, BadRequest>) -> Handled {
        match served {
            Ok(handled) => handled,
            Err(error) => {
                tracing::warn!(peer = %self.info.peer, listener = %self.info.listener, "connection closed: {error}");
                Handled::Close
            }
        }
    }

    /// Serves the first of these requests with those behind it, if they are to produce. How many that were.
    fn serve_together(
        &self,
        frames: &[&[u8]],
        out: &mut Outbox,
    ) -> Option<(usize, Result<Handled, BadRequest>)> {
        let Server::Broker(broker) = &self.server else { return None };
        let is_produce = |frame: &&&[u8]| frame.starts_with(&ApiKey::Produce.code().to_be_bytes());
        let frames = &frames[..frames.iter().take_while(is_produce).count()];
        if frames.len() < 2 {
            return None;
        }
        let served = apis::served(ApiKey::Produce, self.server.kind())?;
        let mut heads = Vec::with_capacity(frames.len());
        for frame in frames {
            let mut reader = Reader::new(frame);
            let Ok((head, client_id)) = read_head(&mut reader) else { break };
            if !served.contains(&head.version) {
                break;
            }
            heads.push((head, client_id, reader));
        }
        let requests = heads.iter().map(|(head, client_id, reader)| {
            let client = Client { connection: &self.info, id: client_id, session: &self.session };
            Request { head: *head, client, body: reader.clone() }
        });
        handlers::produce::together::handle(broker, requests, out)
    }

    fn serve(&self, frame: &[u8], out: &mut Outbox) -> Result<Handled, BadRequest> {
        let mut reader = Reader::new(frame);
        let head = read_fixed_head(&mut reader)?;
        let served = apis::served(head.api, self.server.kind()).ok_or(BadRequest::NotServed(head.api))?;
        if !served.contains(&head.version) {
            if head.api == ApiKey::ApiVersions {
                return api_versions::unsupported_version(&self.server.about(), head, out);
            }
            return Err(BadRequest::UnsupportedVersion(head.api, head.version));
        }
        let client_id = read_rest_of_head(&mut reader, head)?;
        let client = Client { connection: &self.info, id: &client_id, session: &self.session };
        let request = Request { head, client, body: reader };
        match &self.server {
            Server::Broker(broker) => handlers::dispatch(broker, request, out),
            Server::Controller(controller) => handlers::controller::dispatch(controller, request, out),
        }
    }
}

/// A whole header, and what the client calls itself.
pub(crate) fn read_head<'a>(reader: &mut Reader<'a>) -> Result<(Head, Cow<'a, str>), BadRequest> {
    let head = read_fixed_head(reader)?;
    let client_id = read_rest_of_head(reader, head)?;
    Ok((head, client_id))
}

/// What every version of every header begins with.
fn read_fixed_head(reader: &mut Reader<'_>) -> Result<Head, BadRequest> {
    let (key, version, correlation_id) =
        (|| Ok((reader.i16()?, reader.i16()?, reader.i32()?)))().map_err(BadRequest::Header)?;
    let api = ApiKey::from_code(key).ok_or(BadRequest::UnknownApi(key))?;
    Ok(Head { api, version, correlation_id })
}

fn read_rest_of_head<'a>(reader: &mut Reader<'a>, head: Head) -> Result<Cow<'a, str>, BadRequest> {
    // The one text of the header keeps its old form in every version.
    let client_id = read_client_id(reader).map_err(BadRequest::Header)?;
    if head.api.request_header_version(head.version) >= 2 {
        reader.tagged_fields(|_, _| Ok(false)).map_err(BadRequest::Header)?;
    }
    Ok(client_id)
}

/// What the client calls itself; empty where it says nothing. As in Java, bytes that are no UTF-8 are replaced, not
/// refused: old clients send names in whatever their machine's encoding is.
fn read_client_id<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, DecodeError> {
    match usize::try_from(reader.i16()?) {
        Ok(length) => Ok(String::from_utf8_lossy(reader.take(length)?)),
        Err(_) => Ok(Cow::Borrowed("")),
    }
}
