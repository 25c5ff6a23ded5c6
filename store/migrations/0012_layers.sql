-- What was kept of layers that were read, for the whole fleet: each is read once, also when several nodes want it at
-- the same moment. The key is made from the blob's digest and the extractor, so whoever can name it has the blob, and
-- nothing here says whose it was.
create table scanner.layer_content (
    key        text        primary key,
    -- Who reads it: a node, and which of its readers. Null once it was read.
    holder_gen bigint,
    holder     uuid,
    content    bytea,      -- null until it was read, and where it is not worth keeping
    used_at    timestamptz not null default clock_timestamp(),
    check ((holder_gen is null) = (holder is null))
);
create index layer_content_by_use on scanner.layer_content (used_at);
grant select, insert, update, delete on scanner.layer_content to starling_fleet;

-- Asks for a layer: 'known' with its content; 'read' makes the asker its reader; 'wait' while a node that lives reads
-- it; 'alone' when it is not kept.
create function scanner.take_layer(p_key text, p_gen bigint, p_holder uuid, out code text, out content bytea)
language plpgsql as $$
declare
    l scanner.layer_content;
begin
    -- What is known is only read, so that a base of thousands of images is no place to queue at.
    select * into l from scanner.layer_content c where c.key = p_key;
    if l.content is not null then
        if l.used_at < clock_timestamp() - interval '1 day' then
            update scanner.layer_content c set used_at = clock_timestamp() where c.key = p_key;
        end if;
        code := 'known';
        content := l.content;
        return;
    end if;
    insert into scanner.layer_content (key, holder_gen, holder) values (p_key, p_gen, p_holder)
    on conflict (key) do nothing;
    if found then
        code := 'read';
        return;
    end if;
    select * into l from scanner.layer_content c where c.key = p_key for update;
    if not found then
        code := 'wait'; -- Its reader gave up just now: ask again.
    elsif l.content is not null then
        code := 'known';
        content := l.content;
    elsif l.holder_gen is null then
        code := 'alone';
    elsif cluster.is_live(l.holder_gen) then
        code := 'wait';
    else
        update scanner.layer_content c set holder_gen = p_gen, holder = p_holder where c.key = p_key;
        code := 'read';
    end if;
end $$;
grant execute on function scanner.take_layer to starling_fleet;
