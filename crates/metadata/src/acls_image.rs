//! The ACLs (`org.apache.kafka.image.AclsImage`, `AclsDelta`).

use std::collections::BTreeMap;
use std::sync::Arc;

use common::Uuid;
use protocol::messages::{AccessControlEntryRecord, RemoveAccessControlEntryRecord};

use crate::cluster_image::apply_changes;
use crate::error::ReplayError;
use crate::writer::ImageWriter;

/// One ACL as the log holds it (`org.apache.kafka.metadata.authorizer.StandardAcl`). The numbers are those of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StandardAcl {
    /// What kind of resource.
    pub resource_type: i8,
    /// The resource's name, or the front of it.
    pub resource_name: String,
    /// Whether the name is whole (3) or a front (4).
    pub pattern_type: i8,
    /// Whom it is about, such as `User:alice`.
    pub principal: String,
    /// From where.
    pub host: String,
    /// What is allowed or denied.
    pub operation: i8,
    /// Deny (2) or allow (3).
    pub permission_type: i8,
}

impl StandardAcl {
    fn from_record(record: &AccessControlEntryRecord) -> StandardAcl {
        StandardAcl {
            resource_type: record.resource_type,
            resource_name: record.resource_name.clone(),
            pattern_type: record.pattern_type,
            principal: record.principal.clone(),
            host: record.host.clone(),
            operation: record.operation,
            permission_type: record.permission_type,
        }
    }

    fn to_record(&self, id: Uuid) -> AccessControlEntryRecord {
        AccessControlEntryRecord {
            id,
            resource_type: self.resource_type,
            resource_name: self.resource_name.clone(),
            pattern_type: self.pattern_type,
            principal: self.principal.clone(),
            host: self.host.clone(),
            operation: self.operation,
            permission_type: self.permission_type,
        }
    }
}

/// The ACLs by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclsImage {
    /// The ACLs by id.
    pub acls: BTreeMap<Uuid, Arc<StandardAcl>>,
}

impl AclsImage {
    /// Whether there is no ACL.
    pub fn is_empty(&self) -> bool {
        self.acls.is_empty()
    }

    pub(crate) fn write(&self, writer: &mut ImageWriter) {
        for (id, acl) in &self.acls {
            writer.write(acl.to_record(*id).into(), 0);
        }
    }
}

/// What changed of the ACLs.
#[derive(Clone, Debug)]
pub struct AclsDelta {
    image: Arc<AclsImage>,
    /// The ACLs that changed; none means gone.
    pub changes: BTreeMap<Uuid, Option<Arc<StandardAcl>>>,
}

impl AclsDelta {
    pub(crate) fn new(image: &Arc<AclsImage>) -> AclsDelta {
        AclsDelta { image: Arc::clone(image), changes: BTreeMap::new() }
    }

    pub(crate) fn finish_snapshot(&mut self) {
        for id in self.image.acls.keys() {
            self.changes.entry(*id).or_insert(None);
        }
    }

    pub(crate) fn add(&mut self, record: &AccessControlEntryRecord) {
        self.changes.insert(record.id, Some(Arc::new(StandardAcl::from_record(record))));
    }

    pub(crate) fn remove(&mut self, record: &RemoveAccessControlEntryRecord) -> Result<(), ReplayError> {
        if self.image.acls.contains_key(&record.id) {
            self.changes.insert(record.id, None);
        } else if self.changes.remove(&record.id).is_none() {
            return Err(ReplayError::UnknownAcl(record.id));
        }
        Ok(())
    }

    pub(crate) fn apply(&self) -> AclsImage {
        let mut acls = self.image.acls.clone();
        apply_changes(&mut acls, &self.changes);
        AclsImage { acls }
    }
}
