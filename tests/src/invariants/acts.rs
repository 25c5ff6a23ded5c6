//! Who acted for which partition: the database is made to write it down.
//!
//! An effect notes itself in its own transaction, under the very lock that keeps others from taking the partition
//! meanwhile: it is there if and only if the effect is, and its time lies between the changes of owner it lies between.

use crate::Truth;

const TABLE: &str = "create table public.act (
    partition int not null, epoch bigint not null, who text not null, at timestamptz not null)";

/// The fence as it is, which also notes whom it lets through.
const RECORDING_FENCE: &str = "
    create or replace function cluster.fence(p_partition int, p_epoch bigint) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
    begin
        perform 1 from cluster.partition where partition = p_partition and epoch = p_epoch for share;
        if not found then
            return false;
        end if;
        insert into public.act values (p_partition, p_epoch, current_setting('application_name'), clock_timestamp());
        return true;
    end $$;";

/// Makes the place where effects are noted.
pub(crate) async fn prepare(truth: &Truth) {
    truth.run(TABLE).await;
}

/// Has them noted from now on.
pub(crate) async fn record(truth: &Truth) {
    truth.run(RECORDING_FENCE).await;
}
