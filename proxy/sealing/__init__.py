"""Whose is a model's sealed reasoning, and where may it be sent?"""
