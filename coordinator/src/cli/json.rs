//! Answers as JSON: the protobuf JSON mapping, with the field names of the .proto files.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// Raised when the shape of the JSON changes in a way that breaks readers.
pub(super) const SCHEMA_VERSION: u32 = 1;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto_api::DESCRIPTORS).expect("the build made the descriptors"));

/// A message of the contract as JSON. `name` is its full name, such as `starling.job.v1.Job`.
pub(super) fn value<M: prost::Message>(name: &str, message: &M) -> Value {
    let kind = POOL.get_message_by_name(name).expect("the contract has this message");
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(kind, bytes.as_slice()).expect("it was just encoded");
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.expect("JSON can hold any message")
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use proto_api::job::v1::{Job, JobState};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_the_field_names_of_the_contract() {
        let time = Some(Timestamp { seconds: 0, nanos: 5_000_000 });
        let job =
            Job { job_id: "j".to_owned(), state: JobState::Done.into(), create_time: time, ..Job::default() };
        let json = value("starling.job.v1.Job", &job);
        assert_eq!(json["job_id"], "j");
        assert_eq!(json["state"], "JOB_STATE_DONE");
        assert_eq!(json["create_time"], json!("1970-01-01T00:00:00.005Z"));
    }
}
