package Hype::Look;

# Whether everybody can use a page that a Hype::Browser shows.
#
#   is_deeply([low_contrast($browser)], [], 'it can be read');
#   is_deeply([unnamed($browser)], [], 'what can have the focus has a name');

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(low_contrast unnamed);


# Texts whose contrast with what is behind them is below 4.5 (WCAG's AA; 3 if
# they are large).  That of what is disabled does not matter.

sub low_contrast
{
    my ($browser) = @_;

    return @{ $browser->value(<<'END') };
(() => {
    const canvas = document.createElement('canvas').getContext('2d',
        { willReadFrequently: true });

    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };

    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) =>
        c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);

    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const color = rgba(getComputedStyle(node).backgroundColor);

            if (color[3] === 255) {
                return color;
            }
        }

        return [255, 255, 255];
    };

    const low = [];

    for (const node of document.querySelectorAll('body *')) {
        const own = [...node.childNodes].some((child) =>
            child.nodeType === 3 && child.data.trim());

        if (!own || !node.checkVisibility()
            || node.closest('.hidden, script, :disabled')) {
            continue;
        }

        const style = getComputedStyle(node);
        const svg = node.namespaceURI.endsWith('svg');
        const [a, b] = [light(rgba(svg ? style.fill : style.color)),
                        light(behind(node))].sort((a, b) => b - a);
        const wanted = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;

        if ((a + 0.05) / (b + 0.05) < wanted) {
            low.push(`${node.textContent.trim()}: `
                     + ((a + 0.05) / (b + 0.05)).toFixed(2));
        }
    }

    return low;
})()
END
}


# What can have the focus and does not say what it is: roles.

sub unnamed
{
    my ($browser) = @_;

    my $tree = $browser->call('Accessibility.getFullAXTree');
    my @unnamed;

    for my $node (@{ $tree->{nodes} }) {
        next if $node->{ignored} || ($node->{name}{value} // '') ne '';
        push @unnamed, $node->{role}{value}
            if grep { $_->{name} eq 'focusable' && $_->{value}{value} }
               @{ $node->{properties} };
    }

    return @unnamed;
}


1;
