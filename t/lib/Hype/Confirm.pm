package Hype::Confirm;

# What test blocks on hype_confirm have in common, for use after Hype::Blocks:
# before a block's own sql_before, alice's link was followed by a visitor, and
# bob's by users 1 to 99; without sql_later, all that is confirmed is looked at.

use strict;
use warnings;

use Hype::Blocks;

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    my $before = <<'END' . ($block->sql_before // '');
insert into hype.referral_link (identifier, user_id)
values ('abc123', 'alice'), ('other', 'bob');
insert into hype.referral_hit (id, referral_link_id, visitor)
values ('019e0000-0000-7000-8000-000000000001', 1,
        '019e7d9c-3f6a-4f4e-8d5b-0123456789ab');
insert into hype.referral_hit (referral_link_id, user_id, authenticated)
select 2, n::text, true from generate_series(1, 99) as n;
END

    $block->set_value(sql_before => $before);

    $block->set_value(sql_later => <<'END') if !defined $block->sql_later;
select c.event, coalesce(c.user_id, 'visitor ' || c.visitor), c.referrer, l.identifier, c.value,
       h.confirmed = c.created
from hype.confirmed_referral c
join hype.referral_link l on l.id = c.referral_link_id
join hype.referral_hit h on h.id = c.referral_hit_id
order by c.created, c.event, c.user_id::bytea
END
});


1;
