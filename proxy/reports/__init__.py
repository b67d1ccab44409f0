"""What does pillion tell those who run it about requests, providers and money?"""
