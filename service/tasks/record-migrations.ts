import { sql, type Migration } from 'kysely';

/** The record of a task: how much of it there is, for how long it is kept, and the files that the work left. */
export const migrations: Record<string, Migration> = {
  '2026-11-22-350-record-of-a-task': {
    async up(db) {
      await sql`
        alter table outrigger.task
          add event_bytes bigint not null default 0,
          add record_pruned_at timestamptz`.execute(db);
      await sql`
        create index task_record_due on outrigger.task (organization_id, finished_at)
         where state = 'finished' and record_pruned_at is null`.execute(db);
      await sql`
        create table outrigger.retention (
          organization_id uuid primary key,
          transcript_days integer not null check (transcript_days between 1 and 3650)
        )`.execute(db);
    },
    async down(db) {
      await sql`drop table outrigger.retention`.execute(db);
      await sql`drop index outrigger.task_record_due`.execute(db);
      await sql`alter table outrigger.task drop event_bytes, drop record_pruned_at`.execute(db);
    },
  },
  '2026-11-22-351-artifacts': {
    async up(db) {
      await sql`
        create table outrigger.artifact (
          id uuid primary key,
          task_id uuid not null references outrigger.task (id),
          attempt integer not null,
          name text not null,
          bytes bigint not null check (bytes >= 0),
          sha256 bytea not null,
          received bigint not null default 0,
          created_at timestamptz not null,
          completed_at timestamptz
        )`.execute(db);
      // What is on its way stands beside what an earlier attempt left, until it is whole.
      await sql`create unique index on outrigger.artifact (task_id, name) where completed_at is not null`.execute(db);
      await sql`create unique index on outrigger.artifact (task_id, name) where completed_at is null`.execute(db);
      await sql`
        create table outrigger.artifact_chunk (
          artifact_id uuid not null references outrigger.artifact (id) on delete cascade,
          at bigint not null,
          data bytea not null,
          primary key (artifact_id, at)
        )`.execute(db);
      // Compressed already, or as good as: Postgres need not try.
      await sql`alter table outrigger.artifact_chunk alter data set storage external`.execute(db);
    },
    async down(db) {
      await sql`drop table outrigger.artifact_chunk`.execute(db);
      await sql`drop table outrigger.artifact`.execute(db);
    },
  },
};
