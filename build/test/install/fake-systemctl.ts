import type { InstallerMachine } from "./installer-machine.ts";

/** What is enabled and runs are files; every call that changes something is a line of /fixture/calls. */
const SYSTEMCTL = String.raw`#!/bin/sh
for name; do :; done
name=$(basename "$name" .service)
case $1 in
    show)
        case $* in
            *FragmentPath*)
                for folder in /etc/systemd/system /usr/local/lib/systemd/system; do
                    if [ -f "$folder/$name.service" ]; then echo "FragmentPath=$folder/$name.service"; break; fi
                done
                ;;
            *) if [ -e "/fixture/active/$name" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi ;;
        esac
        exit
        ;;
    is-enabled) [ -e "/fixture/enabled/$name" ]; exit ;;
    enable)
        mkdir -p /fixture/enabled && touch "/fixture/enabled/$name"
        case $2 in
            /etc/systemd/system/* | /usr/local/lib/systemd/system/*) ;;
            *) ln -sf "$2" "/etc/systemd/system/$name.service" ;;
        esac
        ;;
    restart) mkdir -p /fixture/active && touch "/fixture/active/$name" ;;
    stop) rm -f "/fixture/active/$name" ;;
esac
echo "$*" >>/fixture/calls
`;

/** Brings a service manager whose services are up at once. */
export async function provideSystemctl(machine: InstallerMachine): Promise<void> {
  await machine.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755);
}

/** The calls that changed something, and forgets them. */
export async function takeCalls(machine: InstallerMachine): Promise<readonly string[]> {
  const calls = await machine.read("/fixture/calls").catch(() => ""); // none yet
  await machine.run(["rm", "-f", "/fixture/calls"]);
  return calls.split("\n").filter(Boolean);
}
