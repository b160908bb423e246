-- The tables of django-hype, as its migration makes them.

CREATE TABLE hype_referrallink (
    id         serial PRIMARY KEY,
    identifier varchar(50) NOT NULL UNIQUE,
    disabled   boolean NOT NULL,
    created    timestamptz NOT NULL,
    updated    timestamptz NOT NULL,
    user_id    integer
);

CREATE TABLE hype_referralhit (
    id               uuid PRIMARY KEY,
    authenticated    boolean NOT NULL,
    ip               inet NOT NULL,
    user_agent       text NOT NULL,
    http_referer     text NOT NULL,
    next             varchar(200) NOT NULL,
    confirmed        timestamptz,
    created          timestamptz NOT NULL,
    updated          timestamptz NOT NULL,
    hit_user_id      integer,
    referral_link_id integer NOT NULL REFERENCES hype_referrallink (id)
);
