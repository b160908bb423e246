-- The demo's referral links, and what a sign-up is worth

insert into hype.referral_link
    (identifier, user_id, destination, label, disabled, expires)
values
    ('abc123', 'alice', '/welcome', 'open',     false, null),
    ('spring', 'alice', '/pricing', 'expired',  false, now() - interval '1d'),
    ('closed', 'bob',   '/welcome', 'disabled', true,  null);

insert into hype.reward_rule (event, side, amount)
values ('signup', 'referrer', 100), ('signup', 'referred', 20);
