-- Users for wrk: each request is one of 20,000 users', who looks at a page and thinks for a while before the next.
local pages = { "/", "/search", "/product", "/cart", "/checkout" }
local users = 20000
local segments = { "eu", "us", "apac" }

function setup(thread)
   thread:set("seed", 1)
end

function init(args)
   math.randomseed(tonumber(args[1]) or 1)
   think = tonumber(args[2]) or 100
end

function delay()
   return math.random(0, 2 * think)
end

function request()
   local user = math.random(1, users)
   local headers = { ["X-Unit-Id"] = "user-" .. user, ["X-Segment"] = segments[user % 3 + 1], ["Host"] = "shop" }
   return wrk.format("GET", pages[math.random(#pages)], headers)
end
