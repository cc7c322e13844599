//! One client's connection: reads a request's head, finds its handler, and says no where Kafka says no.

use std::borrow::Cow;
use std::sync::Arc;

use network::{ConnectionInfo, Handled, Outbox, Service, ServiceConnection};
use protocol::{ApiKey, DecodeError, Reader};

use crate::apis::{self, ListenerKind};
use crate::broker::Broker;
use crate::handlers;
use crate::request::{BadRequest, Client, Head, Request};

/// Serves the connections of one listener.
pub(crate) struct BrokerService {
    pub(crate) broker: Arc<Broker>,
    pub(crate) kind: ListenerKind,
}

/// One connection.
pub(crate) struct BrokerConnection {
    broker: Arc<Broker>,
    kind: ListenerKind,
    info: Arc<ConnectionInfo>,
}

impl Service for BrokerService {
    type Connection = BrokerConnection;

    fn connect(&self, info: ConnectionInfo) -> BrokerConnection {
        BrokerConnection { broker: Arc::clone(&self.broker), kind: self.kind, info: Arc::new(info) }
    }
}

impl ServiceConnection for BrokerConnection {
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled {
        match self.serve(frame, out) {
            Ok(handled) => handled,
            Err(error) => {
                tracing::warn!(peer = %self.info.peer, listener = %self.info.listener, "connection closed: {error}");
                Handled::Close
            }
        }
    }
}

impl BrokerConnection {
    fn serve(&mut self, frame: &[u8], out: &mut Outbox) -> Result<Handled, BadRequest> {
        let mut reader = Reader::new(frame);
        let (key, version, correlation_id) =
            (|| Ok((reader.i16()?, reader.i16()?, reader.i32()?)))().map_err(BadRequest::Header)?;
        let api = ApiKey::from_code(key).ok_or(BadRequest::UnknownApi(key))?;
        let head = Head { api, version, correlation_id };
        let served = apis::served(api, self.kind).ok_or(BadRequest::NotServed(api))?;
        if !served.contains(&version) {
            if api == ApiKey::ApiVersions {
                return handlers::api_versions::unsupported_version(&self.broker, self.kind, head, out);
            }
            return Err(BadRequest::UnsupportedVersion(api, version));
        }
        // The one text of the header keeps its old form in every version.
        let client_id = read_client_id(&mut reader).map_err(BadRequest::Header)?;
        if api.request_header_version(version) >= 2 {
            reader.tagged_fields(|_, _| Ok(false)).map_err(BadRequest::Header)?;
        }
        let client = Client { connection: &self.info, id: &client_id };
        let request = Request { head, client, body: reader };
        handlers::dispatch(&self.broker, self.kind, request, out)
    }
}

/// What the client calls itself; empty where it says nothing. As in Java, bytes that are no UTF-8 are replaced, not
/// refused: old clients send names in whatever their machine's encoding is.
fn read_client_id<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, DecodeError> {
    match usize::try_from(reader.i16()?) {
        Ok(length) => Ok(String::from_utf8_lossy(reader.take(length)?)),
        Err(_) => Ok(Cow::Borrowed("")),
    }
}
