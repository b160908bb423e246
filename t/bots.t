# conf/hype-bots.conf, which is shipped: programs are bots, people are not.

use lib 't/lib';
use Hype::Test;

my $pg = database();
$pg->link('abc');

my $file = source_dir() . '/conf/hype-bots.conf';
my $nginx = nginx(pg => $pg, http => <<"HTTP", server => <<'SERVER');
include  $file;
hype_bot \$hype_bot;
HTTP
location /ref/ { hype_ref; }
location = /bot { return 200 $hype_bot; }
SERVER

my $chrome = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0';
my $safari = 'AppleWebKit/605.1.15 (KHTML, like Gecko)';
my $iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) $safari";

my @bots = split /\n/, <<"END";
Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) $chrome Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
Googlebot-Image/1.0
AdsBot-Google (+http://www.google.com/adsbot.html)
Mediapartners-Google
APIs-Google (+https://developers.google.com/webmasters/APIs-Google.html)
FeedFetcher-Google; (+http://www.google.com/feedfetcher.html)
Mozilla/5.0 (X11; Linux x86_64) $chrome Safari/537.36 (compatible; Google-Read-Aloud; +https://support.google.com/webmasters/answer/1061943)
Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)
GoogleOther
Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
Mozilla/5.0 (Windows NT 6.1; WOW64) $chrome Safari/537.36 BingPreview/1.0b
Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)
DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)
Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)
Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)
Mozilla/5.0 (compatible; YandexImages/3.0)
Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) $safari Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)
Mozilla/5.0 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)
Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)
Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)
Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)
Mozilla/5.0 (compatible; DotBot/1.2; help\@moz.com)
CCBot/2.0 (https://commoncrawl.org/faq/)
ia_archiver (+http://www.alexa.com/site/help/webmasters)
Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)
Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)
Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0
Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot\@anthropic.com)
Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0)
Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback\@bytedance.com)
meta-externalagent/1.1 (https://developers.facebook.com/docs/sharing/webmasters/crawler)
facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)
facebookexternalhit/1.1;line-poker/1.0
facebookcatalog/1.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0
WhatsApp/2.23.20.0
WhatsApp/2.2413.1 W
Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5
Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)
Slackbot 1.0 (+https://api.slack.com/robots)
Twitterbot/1.0
TelegramBot (like TwitterBot)
Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)
LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)
Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)
Pinterest/0.2 (+https://www.pinterest.com/bot.html)
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) $chrome Safari/537.36 Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots
Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)
Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; mailto:support\@bsky.app)
http.rb/5.1.1 (Mastodon/4.2.0; +https://mastodon.example/) Bot
Mozilla/4.0 (compatible; ms-office; MSOffice 16)
curl/8.5.0
Wget/1.21.3
python-requests/2.31.0
Python-urllib/3.11
Python/3.11 aiohttp/3.9.1
Go-http-client/1.1
Go-http-client/2.0
Java/17.0.9
Apache-HttpClient/4.5.13 (Java/11.0.20)
okhttp/4.12.0
axios/1.6.2
node-fetch/1.0 (+https://github.com/bitinn/node-fetch)
libwww-perl/6.68
PostmanRuntime/7.36.0
GuzzleHttp/7
Ruby
Faraday v2.7.4
Scrapy/2.11.0 (+https://scrapy.org)
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36
Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) $chrome Safari/537.36 Chrome-Lighthouse
Mozilla/5.0 (X11; Linux x86_64) $chrome Safari/537.36 PTST/240105
Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)
Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)
Mozilla/5.0 (compatible; StatusCake)
Better Uptime Bot Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) $chrome Safari/537.36
Uptime-Kuma/1.23.11
Site24x7
DatadogSynthetics
GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)
Amazon-Route53-Health-Check-Service (ref 1234; report http://amzn.to/1vsZADi)
ELB-HealthChecker/2.0
kube-probe/1.28
check_http/v2.3.1 (monitoring-plugins 2.3.1)
Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)
ApacheBench/2.3
Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)
END

my @people = split /\n/, <<"END";
Mozilla/5.0 (Windows NT 10.0; Win64; x64) $chrome Safari/537.36
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) $chrome Safari/537.36
Mozilla/5.0 (X11; Linux x86_64) $chrome Safari/537.36
Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) $chrome Safari/537.36
Mozilla/5.0 (Linux; Android 10; K) $chrome Mobile Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0
Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0
Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) $safari Version/17.5 Safari/605.1.15
$iphone Version/17.5 Mobile/15E148 Safari/604.1
Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) $safari Version/16.6 Mobile/15E148 Safari/604.1
$iphone CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1
$iphone FxiOS/127.0 Mobile/15E148 Safari/605.1.15
$iphone EdgiOS/125.0.2535.96 Version/17.0 Mobile/15E148 Safari/604.1
$iphone GSA/322.0.643590321 Mobile/15E148 Safari/604.1
$iphone Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15
Mozilla/5.0 (Windows NT 10.0; Win64; x64) $chrome Safari/537.36 Edg/126.0.0.0
Mozilla/5.0 (Windows NT 10.0; Win64; x64) $chrome Safari/537.36 OPR/112.0.0.0
Mozilla/5.0 (Windows NT 10.0; Win64; x64) $chrome Safari/537.36 Vivaldi/6.8
Mozilla/5.0 (Windows NT 10.0; Win64; x64) $chrome YaBrowser/24.6.0 Safari/537.36
Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; U; Android 12; en-US; M2102J20SG) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0 UCBrowser/13.4.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 9; CUBOT X19) $chrome Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 8.1.0; CUBOT_X18_Plus) $chrome Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20 PRO) $chrome Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 7.0; CUBOT Build/NRD90M) $chrome Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 12; KINGKONG MINI 3 Build/CUBOT; wv) $chrome Mobile Safari/537.36
$iphone Mobile/15E148 [FBAN/FBIOS;FBAV/468.0.0.35.72;FBBV/601;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5]
Mozilla/5.0 (Linux; Android 14; SM-S918B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 $chrome Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/469.0.0.40.94;]
$iphone Mobile/15E148 Instagram 336.0.1.21.90 (iPhone14,5; iOS 17_5; en_US; en; scale=3.00; 1170x2532)
$iphone Mobile/15E148 [LinkedInApp]/9.29.5832
$iphone Mobile/15E148 Twitter for iPhone/10.44
$iphone Mobile/15E148 [Pinterest/iOS]
Mozilla/5.0 (Linux; Android 13; Pixel 7; wv) $chrome Mobile Safari/537.36 [Pinterest/Android]
$iphone Mobile/15E148 Snapchat/12.94.0.44 (like Safari/8617.2.4.10.8, panda)
Mozilla/5.0 (Linux; Android 13; Pixel 7; wv) $chrome Mobile Safari/537.36 musical_ly_2023400040 JsSdk/1.0 BytedanceWebview/d8a21c6
$iphone Mobile/15E148 MicroMessenger/8.0.49 NetType/WIFI Language/en
$iphone Mobile/15E148 Safari Line/14.9.0
Mozilla/5.0 (Linux; Android 13; Pixel 7; wv) $chrome Mobile Safari/537.36 Viber/22.4
Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko
Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Embedded Web Browser from: http://bsalsa.com/)
Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/191.298; U; en) Presto/2.12.423 Version/12.16
Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/124.3.1 like Chrome/124.0 Safari/537.36
Mozilla/5.0 (PlayStation; PlayStation 5/2.26) $safari Version/15.4 Safari/605.1.15
Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) $chrome Safari/537.36 Edge/44.18363
Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) 85.0.4183.93/6.5 TV Safari/537.36
Mozilla/5.0 (Mobile; Nokia 8110 4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5
Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0.9 Mobile Safari/537.10+
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.38 Chrome/124.0 Electron/30.0.2 Safari/537.36
Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) discord/1.0.9153 Chrome/124.0 Electron/30.1.0 Safari/537.36
Lynx/2.8.9rel.1 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/1.1.1d
w3m/0.5.3+git20230121
Mozilla/5.0 (X11; Linux x86_64) KHTML/5.0 (like Gecko) Konqueror/5.0
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15 Epiphany/605.1.15
END

cmp_ok(scalar @bots, '>=', 60, 'bots');
cmp_ok(scalar @people, '>=', 40, 'people');

is(is_bot($_), 1, "a bot: $_") for '', @bots;
is(is_bot($_), 0, "a person: $_") for @people;

$nginx->get('/ref/abc', 'User-Agent' => 'WhatsApp/2.23.20.0 A');
$nginx->get('/ref/abc', 'User-Agent' => $people[0]);
is($pg->value('select string_agg(bot::text, \' \' order by id)
               from hype.referral_hit'), 'true false', 'as hits have it');

done_testing();


sub is_bot { $nginx->get('/bot', 'User-Agent' => $_[0])->body }
