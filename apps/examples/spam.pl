#!/usr/bin/env perl
# A handler that stays up, in Perl, from net/PROTOCOL.md alone: says of each mail what SpamAssassin (Debian: spamassassin) thinks
# of it. The rules are loaded once; `spamassassin` itself loads them for every mail, which takes a second.
#
#     ropewalk worker --service 'spam=exec:perl apps/examples/spam.pl'
use strict;
use warnings;
use Mail::SpamAssassin;

my %kind = (HELLO => 1, HELLO_OK => 2, REQUEST => 3, REPLY => 4, ERROR => 5);
my $FAILED = 1;
my $judge = Mail::SpamAssassin->new({ local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => '/dev/null' });
$judge->compile_now(0);
open(my $channel, '+<&=', $ENV{ROPEWALK_FD}) or die "no channel: $!\n";

sub receive {
    my ($bytes, $got) = ($_[0], '');
    while (length $got < $bytes) { sysread($channel, $got, $bytes - length $got, length $got) or exit }
    return $got;
}

sub tell_node {
    my ($kind, $code, $id, $said) = @_;
    utf8::encode($said) if utf8::is_utf8($said);
    my $frame = pack('N C C n a8', 12 + length $said, $kind, $code, 0, $id) . $said;
    while (length $frame) { substr($frame, 0, syswrite($channel, $frame) // exit) = '' }
}

sub opinion {
    my $mail = $judge->parse($_[0]);
    my $found = eval { $judge->check($mail) };
    my $said = $found && sprintf("%s %.1f %s\n", $found->is_spam ? 'spam' : 'ham', $found->get_score, $found->get_names_of_tests_hit);
    $_->finish for grep { $_ } $found, $mail;
    return $said || die $@;
}

while (1) {
    my ($length, $kind, undef, $fields, $id) = unpack('N C C n a8', receive(16));
    my $mail = substr(receive($length - 12), $fields);
    if ($kind == $kind{HELLO}) { tell_node($kind{HELLO_OK}, 0, $id, '') }
    elsif ($kind == $kind{REQUEST}) {
        my $said = eval { opinion($mail) };
        tell_node(defined $said ? ($kind{REPLY}, 0, $id, $said) : ($kind{ERROR}, $FAILED, $id, $@));
    }
}
