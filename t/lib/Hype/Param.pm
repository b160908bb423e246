package Hype::Param;

# What test blocks on ?ref= have in common, for use after Hype::Blocks: the links
# of alice and bob, unless a block has sql_before; redirects are not absolute,
# unless its configuration says so.

use strict;
use warnings;

use Hype::Blocks;

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(sql_before => <<'END') if !defined $block->sql_before;
insert into hype.referral_link (identifier, user_id, destination)
values ('abc123', 'alice', '/welcome'), ('other', 'bob', null)
END

    my $config = $block->config // '';
    $block->set_value(config => "absolute_redirect off;\n$config")
        if $config !~ /absolute_redirect/;
});


1;
