-- Conditions say how an autoscaler is. An operator that writes no status leaves only its mark on what it has seen.
-- Only base functions of Lua are used: Argo CD opens no libraries for scripts that users configure.

-- What a person has to put right. For all else there is something to wait for: the cluster, its scheduler, an answer.
local broken = {
  AbleToScale = { Conflict = true, Invalid = true },
  ScalingActive = { SchedulerUnreachable = true, SchedulerAnswerInvalid = true },
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
if status == nil or status.conditions == nil then
  local annotations = obj.metadata.annotations or {}
  if annotations["kopf.zalando.org/last-handled-configuration"] ~= nil then
    return health("Healthy", "Seen by an operator that reports no status")
  end
  return health("Progressing", "Waiting for the operator")
end

if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to see the latest change")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  if condition.status == "False" and broken[condition.type] ~= nil and broken[condition.type][condition.reason] then
    return health("Degraded", words(condition))
  end
  found[condition.type] = condition
end

local active = found.ScalingActive
if active == nil then
  return health("Progressing", "Waiting for the operator")
end
if active.reason == "Suspended" then
  return health("Suspended", words(active))
end
if active.status == "True" then
  return health("Healthy", words(active))
end
return health("Progressing", words(active))
