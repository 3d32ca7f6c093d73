-- Conditions say how a job is. A status without any was written by an operator that knows only jobStatus.
-- Only base functions of Lua are used: Argo CD opens no libraries for scripts that users configure.

-- Troubles that pass by themselves: until they have, the job is on its way. A runner that failed is tried again, unless
-- the job failed with it.
local passing = {
  RunnerFailed = true,
  RunnerTerminating = true,
  ClusterTerminating = true,
  Unschedulable = true,
  NoAnswer = true,
  InternalError = true,
  TooManyRequests = true,
  Timeout = true,
}

local function health(status, message)
  return { status = status, message = message }
end

local function words(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason or condition.type
  end
  return (condition.reason or condition.type) .. ": " .. condition.message
end

local status = obj.status
if status == nil or (status.conditions == nil and status.jobStatus == nil) then
  return health("Progressing", "Waiting for the operator")
end

if status.conditions == nil then
  if status.jobStatus == "Successful" then
    return health("Healthy", "Successful")
  end
  if status.jobStatus == "Failed" then
    return health("Degraded", "Failed")
  end
  return health("Progressing", status.jobStatus)
end

if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to see the latest change")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end

local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

if holds("Failed") then
  return health("Degraded", words(found.Failed))
end
if holds("Complete") then
  return health("Healthy", words(found.Complete))
end
if holds("Degraded") and not passing[found.Degraded.reason] then
  return health("Degraded", words(found.Degraded))
end
if holds("Suspended") then
  return health("Suspended", words(found.Suspended))
end
if holds("Degraded") then
  return health("Progressing", words(found.Degraded))
end
return health("Progressing", status.jobStatus or "Waiting for the operator")
