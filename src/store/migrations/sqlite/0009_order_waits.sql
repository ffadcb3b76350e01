-- What an order waits for until next_at; null where that is nothing, or a failure.
alter table certificate_orders add column waits_for text;
