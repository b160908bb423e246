package Hype::ReportPage;

# The reports on the page of hype_status, in Chromium: what there is to be shown,
# and what a user does there.
#
#   my $browser = report_browser($pg);      # fills the tables, too

use strict;
use warnings;

use Exporter qw(import);

use Hype::Browser;

our @EXPORT = qw(choose click fill_in first js names place report_browser rows_of
                 tile wait_for);

my ($browser, $pg);


sub report_browser
{
    ($pg) = @_;

    need_browser();
    fill();
    $browser = Hype::Browser->new;

    return $browser;
}


# 45 links; link00 has 45 hits, link01 44 and so on, all of today and of an hour
# ago at the most; 10 of 40 days ago.

sub fill
{
    $pg->exec(<<'END');
insert into hype.referral_link (id, identifier, user_id, label)
select 100 + i, 'link' || to_char(i, 'FM00'),
       case i % 3 when 0 then 'alice' when 1 then '=1+2' end,
       case i when 3 then '@SUM("a",1)' end
from generate_series(0, 44) i;
update hype.referral_link set disabled = true where identifier = 'link01';
update hype.referral_link set expires = '2020-01-01' where identifier = 'link02';

insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot, http_referer, next, args)
select gen_random_uuid(), 100 + i, now(), gen_random_uuid(), false, false,
       'https://www.' || case when j % 3 = 0 then 'b' else 'a' end
       || '.example/x', '/landing',
       case when j % 3 = 0 then 'sub=<b>%C3%A4</b>' end
from generate_series(0, 44) i, generate_series(1, 45 - i) j;
insert into hype.referral_hit (id, referral_link_id, created, visitor,
                               authenticated, bot)
select gen_random_uuid(), 144, now() - interval '40 days', gen_random_uuid(),
       false, false
from generate_series(1, 10);

insert into hype.confirmed_referral (event, user_id, referral_hit_id,
                                     referral_link_id, referrer, value)
select case when i < 3 then 'order' else 'signup' end, 'user' || i,
       gen_random_uuid(), 100, 'alice', case when i < 3 then 1234.5 end
from generate_series(1, 5) i;
update hype.confirmed_referral
set referral_hit_id = (select id from hype.referral_hit where args <> '' limit 1)
where user_id = 'user1';
END
}


sub wait_for { return $browser->wait_for(@_) }
sub js { return $browser->value(@_) }
sub click { return js("document.querySelector('$_[0]').click()") }

sub tile
{
    return js("[...document.querySelectorAll('#report-tiles .tile')].find("
        . "(tile) => tile.firstChild.textContent === '$_[0]')"
        . "?.children[1].textContent");
}

sub names
{
    return join ' ', @{ js(q{[...document.querySelectorAll(
        '#report-links tbody tr')].map((row) =>
        row.cells[0].querySelector('bdi').textContent)}) };
}

sub rows_of
{
    my ($id) = @_;

    return join '; ', @{ js("[...document.querySelectorAll('#$id tbody tr')]"
        . ".map((row) => [row.cells[0], row.cells[2]].map((cell) =>"
        . " cell.innerText.trim()).join(' '))") };
}

sub first { return names() =~ /^(\S*)/ ? $1 : '' }
sub place { return $browser->text('#report-place') }

# Types into a field, as a user does.

sub fill_in
{
    my ($id, $text, $event) = @_;

    js("((field) => { field.value = '$text'; field.dispatchEvent("
       . "new Event('$event', { bubbles: true })); })"
       . "(document.getElementById('$id'))");
}

sub choose
{
    my ($name, $value) = @_;

    click(qq{[name=$name][value="$value"]});
}


1;
