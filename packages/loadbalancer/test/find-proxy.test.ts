import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LoadBalancerError } from "../src/errors.ts";
import { findProxy } from "../src/index.ts";

const SERVER = "https://10.0.0.1:6443";
const proxied = { HTTPS_PROXY: "http://proxy:3128" };

describe("findProxy()", () => {
  const found = [
    ["the variable of the scheme", SERVER, proxied, "http://proxy:3128/"],
    ["the lower case as well", SERVER, { https_proxy: "socks5://proxy:1080" }, "socks5://proxy:1080"],
    ["the upper case first", SERVER, { ...proxied, https_proxy: "http://other" }, "http://proxy:3128/"],
    ["a proxy without scheme", SERVER, { HTTPS_PROXY: "proxy:3128" }, "http://proxy:3128/"],
    ["that of http for http", "http://10.0.0.1", { HTTP_PROXY: "http://plain" }, "http://plain/"],
    ["one although other addresses are exempt", SERVER, { ...proxied, NO_PROXY: "10.0.0.2,10.1.0.0/16" }, undefined],
    ["one although another port is exempt", SERVER, { ...proxied, NO_PROXY: "10.0.0.1:443" }, undefined],
    ["one although a name ends alike", "https://notx.y", { ...proxied, NO_PROXY: "x.y" }, undefined],
    ["one for the domain itself", "https://x.y", { ...proxied, NO_PROXY: ".x.y" }, undefined],
  ] as const;
  for (const [what, url, env, proxy = "http://proxy:3128/"] of found)
    test(`finds ${what}`, () => assert.equal(findProxy(url, env)?.href, proxy));

  const none = [
    ["no variable", SERVER, {}],
    ["an empty variable", SERVER, { HTTPS_PROXY: "" }],
    ["a variable for another scheme", SERVER, { HTTP_PROXY: "http://proxy:3128" }],
    ["this machine by name", "https://localhost:6443", proxied],
    ["this machine by address", "https://127.0.0.1:6443", proxied],
    ["this machine by IPv6 address", "https://[::1]:6443", proxied],
    ["everything exempt", SERVER, { ...proxied, NO_PROXY: "*" }],
    ["the address", SERVER, { ...proxied, NO_PROXY: "a.b, 10.0.0.1" }],
    ["the address with its port", SERVER, { ...proxied, no_proxy: "10.0.0.1:6443" }],
    ["the range", SERVER, { ...proxied, NO_PROXY: "10.0.0.0/24" }],
    ["an IPv6 address", "https://[fd00::1]:6443", { ...proxied, NO_PROXY: "fd00::1" }],
    ["an IPv6 address with its port", "https://[fd00::1]:6443", { ...proxied, NO_PROXY: "[fd00::1]:6443" }],
    ["an IPv6 range", "https://[fd00::1]:6443", { ...proxied, NO_PROXY: "fd00::/8" }],
    ["the name", "https://x.y:6443", { ...proxied, NO_PROXY: "X.Y" }],
    ["the name under a domain", "https://a.x.y:6443", { ...proxied, NO_PROXY: "x.y" }],
    ["the name under a domain with a dot", "https://a.x.y:6443", { ...proxied, NO_PROXY: ".x.y" }],
    ["the name under a domain with a star", "https://a.x.y:6443", { ...proxied, NO_PROXY: "*.x.y" }],
  ] as const;
  for (const [what, url, env] of none)
    test(`finds none with ${what}`, () => assert.equal(findProxy(url, env), undefined));

  for (const text of ["http://", "u:secret@proxy:many", "https://u:secret@pro xy"])
    test(`says which variable is wrong when it is "${text}", without its password`, () =>
      assert.throws(
        () => findProxy(SERVER, { https_proxy: text }),
        (error) => {
          assert.ok(error instanceof LoadBalancerError);
          assert.equal(error.code, "ERR_LB_PROXY_URL");
          assert.match(error.message, /HTTPS_PROXY: its value is no URL/);
          assert.match(error.hint ?? "", /http:\/\/proxy\.example:3128/);
          assert.ok(!error.message.includes("secret"));
          return true;
        },
      ));
});
