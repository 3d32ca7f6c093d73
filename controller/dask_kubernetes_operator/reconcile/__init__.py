"""Observe, plan, act: what is there, what should be, and the requests that lead from one to the other."""
