-- What wrk asks for: hosts that walk evenly over all tenants, with the head that a browser sends.
-- wrk … -- TENANTS START PATH
--
-- The walk goes in steps that share no factor with their number: it meets every tenant before it meets one again, and no two
-- neighbours in a row. Random draws would leave out a third of the tenants in one turn; threads seeded alike would all ask the same.
local STEP = @STEP@
local threads = 0

-- The URL's host is only for the server name of TLS: it is looked for on loopback.
function wrk.resolve(_, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local place, tenants, before, after

function init(args)
  tenants = tonumber(args[1])
  place = (tonumber(args[2]) + number * 7919) % tenants
  before = "GET " .. args[3] .. " HTTP/1.1\r\nHost: t"
  -- Lua takes any line end within long brackets for a bare line feed, which ends no line of a head.
  local head = ([[@HEAD@]]):gsub("\n", "\r\n")
  after = ".example.com\r\n" .. head .. "\r\n"
end

function request()
  place = (place + STEP) % tenants
  return before .. place .. after
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"bytes":%d,"micros":%d,"errors":%d,"p50":%d,"p90":%d,"p99":%d}\n',
    summary.requests, summary.bytes, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
