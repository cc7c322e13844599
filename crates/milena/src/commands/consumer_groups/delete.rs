//! `--delete` and `--delete-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use client::Admin;

use super::{Arguments, KIND};
use crate::commands::client_tool::exception;
use crate::commands::group_tool::{Failure, delete, failed};

pub(super) async fn delete_groups(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    let groups = arguments.options.groups(&KIND, admin).await?;
    let (mut deleted, mut not) = (BTreeSet::new(), BTreeMap::new());
    for (group, result) in admin.delete_groups(&groups).await.map_err(failed)? {
        match result {
            Ok(()) => drop(deleted.insert(group)),
            Err(error) => drop(not.insert(group, exception(&error))),
        }
    }
    delete::print_deleted(&KIND, &deleted, &not);
    Ok(())
}

pub(super) async fn delete_offsets(arguments: &Arguments, admin: &Admin) -> Result<(), Failure> {
    match arguments.options.groups.as_slice() {
        [group] => delete::delete_offsets_in(admin, group, &arguments.topics).await,
        _ => Err(Failure::Usage(
            "Found multiple arguments for option group, but you asked for only one".to_owned(),
        )),
    }
}
