"""Can a network learn X so that a related Y, which comes along by default, is never learned?"""
