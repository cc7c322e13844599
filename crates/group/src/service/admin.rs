//! ListGroups, DescribeGroups, DeleteGroups.

use common::ErrorCode;
use protocol::messages::describe_groups_response::DescribedGroup;
use protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse,
};

use super::GroupCoordinator;
use super::gather::Gather;
use crate::admin::delete_result;
use crate::{Reply, RequestContext};

impl GroupCoordinator {
    /// ListGroups: the groups whose partitions this broker leads.
    pub fn list_groups(
        &self,
        _client: &RequestContext,
        request: ListGroupsRequest,
        now_ms: i64,
        reply: Reply<ListGroupsResponse>,
    ) {
        let slots = self.runtime.slots();
        let gather = Gather::new(
            slots.len(),
            |parts: Vec<Result<Vec<_>, ErrorCode>>| {
                let mut groups = Vec::new();
                for part in parts {
                    match part {
                        Ok(part) => groups.extend(part),
                        // Led by another broker now, which is asked as well.
                        Err(ErrorCode::NotCoordinator) => {}
                        Err(error) => {
                            return ListGroupsResponse { error_code: error.code(), ..Default::default() };
                        }
                    }
                }
                ListGroupsResponse { groups, ..Default::default() }
            },
            reply,
        );
        for (index, slot) in slots.iter().enumerate() {
            let part = gather.part(index);
            match self.runtime.enter(slot, now_ms) {
                Ok(mut access) => access
                    .read(|shard| Ok(shard.list_groups(&request.states_filter, &request.types_filter)), part),
                Err(error) => part(Err(error)),
            }
        }
    }

    /// DescribeGroups.
    pub fn describe_groups(
        &self,
        client: &RequestContext,
        request: DescribeGroupsRequest,
        now_ms: i64,
        reply: Reply<DescribeGroupsResponse>,
    ) {
        let gather = Gather::new(
            request.groups.len(),
            |groups| DescribeGroupsResponse { groups, ..Default::default() },
            reply,
        );
        for (index, group_id) in request.groups.into_iter().enumerate() {
            let named = group_id.clone();
            let refuse = move |error: ErrorCode| DescribedGroup {
                group_id: named,
                error_code: error.code(),
                ..Default::default()
            };
            let failed = refuse.clone();
            let partition = self.partition_for(&group_id);
            self.with_partition(partition, now_ms, gather.part(index), refuse, |access, reply| {
                access.read(
                    |shard| Ok(shard.describe_group(client, &group_id)),
                    move |result| reply(result.unwrap_or_else(failed)),
                );
            });
        }
    }

    /// DeleteGroups: with their offsets.
    pub fn delete_groups(
        &self,
        _client: &RequestContext,
        request: DeleteGroupsRequest,
        now_ms: i64,
        reply: Reply<DeleteGroupsResponse>,
    ) {
        let mut group_ids: Vec<String> = Vec::with_capacity(request.groups_names.len());
        for group_id in request.groups_names {
            if !group_ids.contains(&group_id) {
                group_ids.push(group_id);
            }
        }
        let gather = Gather::new(
            group_ids.len(),
            |parts: Vec<Vec<_>>| DeleteGroupsResponse {
                results: parts.into_iter().flatten().collect(),
                ..Default::default()
            },
            reply,
        );
        for (index, group_id) in group_ids.into_iter().enumerate() {
            let named = group_id.clone();
            let refuse = move |error: ErrorCode| vec![delete_result(&named, error)];
            let failed = refuse.clone();
            let partition = self.partition_for(&group_id);
            self.with_partition(partition, now_ms, gather.part(index), refuse, |access, reply| {
                access.write(
                    |shard, ctx| Ok(shard.delete_groups(std::slice::from_ref(&group_id), ctx)),
                    move |result| reply(result.unwrap_or_else(failed)),
                );
            });
        }
    }
}
