using System.Text.Json;
using System.Text.Json.Serialization;
using Shop.Driver;
using Shop.Fakes;
using Shop.Inventory;
using Shop.Loyalty;
using Shop.Notifications;
using Shop.Orders;
using Shop.Page;
using Shop.Payments;
using Shop.Users;

namespace Shop;

/// <summary>Everything the shop writes or reads as JSON: messages, documents, HTTP bodies, the fakes' books, the report.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(OrderCreated))]
[JsonSerializable(typeof(OrderCreatedV1))]
[JsonSerializable(typeof(OrderCompleted))]
[JsonSerializable(typeof(OrderCancelled))]
[JsonSerializable(typeof(OrderDeadLettered))]
[JsonSerializable(typeof(OrderGivenUp))]
[JsonSerializable(typeof(PlaceOrder))]
[JsonSerializable(typeof(CompleteOrder))]
[JsonSerializable(typeof(CancelOrder))]
[JsonSerializable(typeof(GiveUpOrder))]
[JsonSerializable(typeof(RefundPayment))]
[JsonSerializable(typeof(ReleaseStock))]
[JsonSerializable(typeof(PaymentCompleted))]
[JsonSerializable(typeof(PaymentFailed))]
[JsonSerializable(typeof(PaymentRefunded))]
[JsonSerializable(typeof(StockReserved))]
[JsonSerializable(typeof(StockRejected))]
[JsonSerializable(typeof(StockReleased))]
[JsonSerializable(typeof(NotificationSent))]
[JsonSerializable(typeof(SendMail))]
[JsonSerializable(typeof(UserCreated))]
[JsonSerializable(typeof(PointsGranted))]
[JsonSerializable(typeof(PointsTakenBack))]
[JsonSerializable(typeof(VoucherIssued))]
[JsonSerializable(typeof(VoucherWithdrawn))]
[JsonSerializable(typeof(Reward))]
[JsonSerializable(typeof(CheckoutState))]
[JsonSerializable(typeof(StockLevel))]
[JsonSerializable(typeof(Reservation))]
[JsonSerializable(typeof(UserProfile))]
[JsonSerializable(typeof(OrderRequest))]
[JsonSerializable(typeof(OrderAccepted))]
[JsonSerializable(typeof(OrderView))]
[JsonSerializable(typeof(OrderPage))]
[JsonSerializable(typeof(CustomerView))]
[JsonSerializable(typeof(UserRequest))]
[JsonSerializable(typeof(UserAccepted))]
[JsonSerializable(typeof(BreakRequest))]
[JsonSerializable(typeof(BreakState))]
[JsonSerializable(typeof(LiveUpdate))]
[JsonSerializable(typeof(IReadOnlyList<StreamRow>))]
[JsonSerializable(typeof(IReadOnlyCollection<Product>))]
[JsonSerializable(typeof(PaymentRecord))]
[JsonSerializable(typeof(MailRecord))]
[JsonSerializable(typeof(RunReport))]
[JsonSerializable(typeof(HealthView))]
public sealed partial class ShopJson : JsonSerializerContext;

/// <summary>Writes an enum as <c>deadLettered</c>, not as a number.</summary>
public sealed class CamelCaseEnumConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.CamelCase)
    where T : struct, Enum;
