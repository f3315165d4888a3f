using Millrace;
using Millrace.Streams;

namespace Shop.Users;

/// <summary>Names the user service gives its stream and its groups.</summary>
public static class UserNames
{
    public const string Stream = "users";

    /// <summary>The group that sends the welcome mail.</summary>
    public const string WelcomeGroup = "welcome";

    /// <summary>The group that creates the profile.</summary>
    public const string ProfilesGroup = "profiles";
}

/// <summary>Somebody signed up.</summary>
/// <param name="UserId">The user.</param>
/// <param name="Name">What to call them.</param>
/// <param name="Email">Where to write to them.</param>
[Message("user.created")]
public sealed record UserCreated(string UserId, string Name, string Email);

/// <summary>What the shop shows of a user; one state document each.</summary>
/// <param name="Id">The user.</param>
/// <param name="Name">What to call them.</param>
/// <param name="Email">Where to write to them.</param>
/// <param name="CreatedAt">When they signed up.</param>
public sealed record UserProfile(string Id, string Name, string Email, DateTimeOffset CreatedAt)
{
    /// <summary>Names the document.</summary>
    public static StateKey Key(string userId) => new(UserNames.Stream, $"profile/{userId}");
}
