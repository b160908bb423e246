package Hype::Claim;

# What test blocks on claims have in common, for use after Hype::Blocks.  What a
# block has of it replaces this:
#
#   sql_before    a visitor has followed the links of alice and bob
#   more_headers  the visitor's cookie
#   sql_later     the claims, and the users of all hits: those two, and what the
#                 block adds

use strict;
use warnings;

use Hype::Blocks;

my $visitor = '019e7d9c-3f6a-4f4e-8d5b-0123456789ab';

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(sql_before => <<"END") if !defined $block->sql_before;
insert into hype.referral_link (identifier, user_id)
values ('abc123', 'alice'), ('other', 'bob');
insert into hype.referral_hit (referral_link_id, visitor)
select id, '$visitor' from hype.referral_link
END

    $block->set_value(more_headers => "Cookie: hype_visitor=$visitor")
        if !defined $block->more_headers;

    $block->set_value(sql_later => <<'END') if !defined $block->sql_later;
select visitor, user_id from hype.visitor_claim
union all
select null, string_agg(user_id, ',') from hype.referral_hit
END
});


1;
