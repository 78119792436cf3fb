/**
 * Where a webhook may go. Law: outside local mode only by https, and to nothing that is private, special or on this machine. Names are judged
 * by their text: what they resolve to cannot be seen from here.
 */
import ipaddr from "ipaddr.js";

/** A parsed URL, as WHATWG's `URL` gives it: its host is then in the one canonical form, whatever the notation was. */
export type Target = { protocol: string; hostname: string; port: string; username: string; password: string };

/** Names of one's own machine or network (RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`, and what routers make up). */
const PRIVATE_NAMES = ["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"];
/**
 * Names under which nothing of the public Internet can be: reserved for tests, reverse look-ups and other name systems (RFC 6761, RFC 3172, RFC 7686, RFC
 * 9476).
 */
const RESERVED_NAMES = ["test", "example", "invalid", "onion", "alt", "in-addr.arpa", "ip6.arpa"];
/** The best known public names that resolve to this machine, or to whatever address is written in them. */
const MIRROR_NAMES = ["localtest.me", "lvh.me", "vcap.me", "nip.io", "sslip.io", "xip.io"];
const REFUSED_NAMES = [...PRIVATE_NAMES, ...RESERVED_NAMES, ...MIRROR_NAMES];
/** All of IPv6 that is allocated to be routed; the rest is reserved or obsolete. */
const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3");
/** Below this, other services listen; https has one port there. */
const FIRST_FREE_PORT = 1_024;

/** Says what is wrong with a target; null if it may be used. `local`: anything that speaks HTTP may. */
export function targetFault(target: Target, local: boolean): string | null {
  if (target.protocol !== "https:" && !(local && target.protocol === "http:"))
    return local ? "must be an http or https URL" : "must be an https URL";
  if (target.username !== "" || target.password !== "") return "must not carry a user name or password";
  if (local) return null;
  if (target.port !== "" && Number(target.port) < FIRST_FREE_PORT) return "must use port 443, or a port from 1024 up";
  return isPublic(target.hostname) ? null : "must name a public host";
}

function isPublic(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  if (ipaddr.isValid(host)) return isRouted(ipaddr.parse(host));
  const name = host.toLowerCase().replace(/\.$/, "");
  // A name with an empty part is not valid, and may be read as another one.
  if (name.split(".").includes("")) return false;
  return name.includes(".") && !REFUSED_NAMES.some((each) => name === each || name.endsWith(`.${each}`));
}

/** Whether the public Internet routes it. Addresses that wrap others (mapped, 6to4, Teredo, NAT64) are not `unicast`. */
function isRouted(address: ReturnType<typeof ipaddr.parse>): boolean {
  return address.range() === "unicast" && (address.kind() === "ipv4" || address.match(GLOBAL_IPV6));
}
