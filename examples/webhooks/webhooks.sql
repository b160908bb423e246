-- The last event that each URL has accepted.  The sender connects as a role of its
-- own.

CREATE TABLE webhook (
    url      text PRIMARY KEY,
    event_id bigint NOT NULL DEFAULT 0
);

CREATE ROLE webhooks LOGIN;
GRANT hype_app TO webhooks;
GRANT SELECT, INSERT, UPDATE ON webhook TO webhooks;
