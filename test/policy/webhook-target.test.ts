import { describe, expect, it } from "vitest";
import { targetFault } from "../../policy/webhook/target.ts";

const fault = (url: string, local = false) => targetFault(new URL(url), local);

describe("outside local mode", () => {
  it.each([
    "https://example.com/hook",
    "https://example.com./hook",
    "https://hooks.example.co.uk:8443/?token=x",
    "https://1.1.1.1/",
    "https://172.32.0.1/",
    "https://[2606:4700::1111]/",
    "https://xn--mnchen-3ya.de/",
    "https://internal.example.com/",
    "https://localhost.example.com/",
    "https://notlocal.com/",
    "https://test.example.com/",
    "https://nip.io.example.com/",
    "https://notnip.io/",
  ])("%s -> may be called", (url) => expect(fault(url)).toBeNull());

  it.each([
    ["plain HTTP", "http://example.com/"],
    ["another scheme", "ftp://example.com/"],
    ["a file", "file:///etc/passwd"],
    ["data", "data:text/plain,x"],
  ])("%s, %s -> https is asked for", (_, url) => expect(fault(url)).toMatch(/https/));

  it.each(["https://user@example.com/", "https://user:pass@example.com/", "https://:pass@example.com/"])(
    "%s -> credentials are refused",
    (url) => expect(fault(url)).toMatch(/user name or password/),
  );

  it.each([1, 22, 25, 53, 80, 1023])("port %i -> refused", (port) => expect(fault(`https://example.com:${port}/`)).toMatch(/port/));
  it.each([443, 1024, 8443, 65_535])("port %i -> may be called", (port) => expect(fault(`https://example.com:${port}/`)).toBeNull());

  it.each([
    ["loopback", "https://127.0.0.1/"],
    ["loopback, anywhere in it", "https://127.255.255.254/"],
    ["loopback, short", "https://127.1/"],
    ["loopback, decimal", "https://2130706433/"],
    ["loopback, hexadecimal", "https://0x7f000001/"],
    ["loopback, hexadecimal in parts", "https://0x7f.0x0.0x0.0x1/"],
    ["loopback, octal", "https://0177.0.0.1/"],
    ["loopback, percent-encoded", "https://%31%32%37.0.0.1/"],
    ["loopback, full-width digits", "https://１２７.０.０.１/"],
    ["loopback, ideographic dots", "https://127。0。0。1/"],
    ["loopback, dot at the end", "https://127.0.0.1./"],
    ["this network", "https://0.0.0.0/"],
    ["this network, short", "https://0/"],
    ["private 10/8", "https://10.1.2.3/"],
    ["private 172.16/12", "https://172.31.255.255/"],
    ["private 192.168/16", "https://192.168.0.1/"],
    ["link-local: the metadata of a cloud", "https://169.254.169.254/latest/meta-data/"],
    ["carrier-grade NAT", "https://100.64.0.1/"],
    ["protocol assignments", "https://192.0.0.1/"],
    ["documentation", "https://192.0.2.1/"],
    ["benchmarks", "https://198.18.0.1/"],
    ["multicast", "https://224.0.0.1/"],
    ["reserved", "https://240.0.0.1/"],
    ["broadcast", "https://255.255.255.255/"],
    ["IPv6 loopback", "https://[::1]/"],
    ["IPv6 loopback in full", "https://[0:0:0:0:0:0:0:1]/"],
    ["IPv6 unspecified", "https://[::]/"],
    ["IPv6 link-local", "https://[fe80::1]/"],
    ["IPv6 site-local", "https://[fec0::1]/"],
    ["IPv6 unique local", "https://[fd00:ec2::254]/"],
    ["IPv6 multicast", "https://[ff02::1]/"],
    ["IPv6 documentation", "https://[2001:db8::1]/"],
    ["IPv4 mapped", "https://[::ffff:127.0.0.1]/"],
    ["IPv4 mapped, of a public address", "https://[::ffff:1.1.1.1]/"],
    ["IPv4 mapped, in hexadecimal", "https://[::ffff:7f00:1]/"],
    ["IPv4 compatible", "https://[::127.0.0.1]/"],
    ["IPv4 translated", "https://[64:ff9b::7f00:1]/"],
    ["6to4", "https://[2002:7f00:1::]/"],
    ["Teredo", "https://[2001:0:7f00:1::]/"],
    ["localhost", "https://localhost/"],
    ["localhost in capitals", "https://LOCALHOST/"],
    ["localhost, dot at the end", "https://localhost./"],
    ["under localhost", "https://app.localhost/"],
    [".internal", "https://metadata.google.internal/computeMetadata/v1/"],
    [".internal, dot at the end", "https://metadata.google.internal./"],
    [".local", "https://printer.local/"],
    [".home.arpa", "https://nas.home.arpa/"],
    [".lan", "https://router.lan/"],
    ["a name without a dot", "https://metadata/"],
    [".internal, two dots at the end", "https://a.internal../"],
    ["a public name, two dots at the end", "https://example.com../"],
    ["two dots in the middle", "https://a..example.com/"],
    ["a dot at the beginning", "https://.example.com/"],
    [".test", "https://hook.test/"],
    [".invalid", "https://hook.invalid/"],
    [".onion", "https://hook.onion/"],
    ["an address read backwards", "https://1.0.0.127.in-addr.arpa/"],
    ["an IPv6 address read backwards", "https://1.0.ip6.arpa/"],
    ["a public name of this machine", "https://localtest.me/"],
    ["under a public name of this machine", "https://any.lvh.me/"],
    ["a public name with an address in it", "https://10.0.0.1.nip.io/"],
    ["the same, with hyphens", "https://app-192-168-1-1.sslip.io/"],
  ])("%s, %s -> refused", (_, url) => expect(fault(url)).toMatch(/public host/));
});

describe("in local mode", () => {
  it.each(["http://127.0.0.1:4000/", "http://localhost/", "http://[::1]:9/", "http://10.0.0.1:80/", "https://a.internal:22/"])(
    "%s -> may be called",
    (url) => expect(fault(url, true)).toBeNull(),
  );

  it.each(["ftp://localhost/", "file:///etc/passwd", "javascript:1", "http://user:pass@localhost/"])("%s -> refused all the same", (url) =>
    expect(fault(url, true)).not.toBeNull(),
  );
});
